"""The store's table of events: bounded, with repeats collapsed."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from controller.model.identity import Key
from controller.model.status import EventRecord
from controller.report.store_schema import transaction

EVENTS_KEPT: Final = 20_000
EVENTS_AGE: Final = 7 * 86400.0
REPEAT_WINDOW: Final = 600.0
MESSAGE_LENGTH: Final = 1024
"""Kubernetes' own bound (events.k8s.io/v1, `note`)."""

_TRIM_EVERY: Final = 100

_REPEATED: Final = """
SELECT id, first, count FROM events
WHERE (kind, namespace, name) = (?, ?, ?) AND at > ? AND type = ? AND reason = ? AND message = ?
ORDER BY at DESC LIMIT 1
"""
_INSERT: Final = """
INSERT INTO events (kind, namespace, name, type, reason, message, at, first, count, id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_COLUMNS: Final = "kind, namespace, name, type, reason, message, at, first, count, id"
_TRIM: Final = """
DELETE FROM events WHERE at < ? OR id IN (SELECT id FROM events ORDER BY id DESC LIMIT -1 OFFSET ?)
"""


class EventLog:
    """Works on the store's connection, under the store's lock. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()
        self._newest: int = newest  # the newest row is never trimmed, so ids only grow, over restarts too
        self._adds = 0

    def add(self, event: EventRecord) -> EventRecord:
        """Append it, or move the same one of the last ten minutes to the end with its count raised."""
        message = event.message.encode(errors="replace").decode()[:MESSAGE_LENGTH]
        event = replace(event, message=message, first=event.first or event.at, id=self._newest + 1)
        with transaction(self._connection):
            stored = self._raise_count(event) or self._insert(event)
            if self._adds % _TRIM_EVERY == 0:
                self._connection.execute(_TRIM, (event.at - EVENTS_AGE, EVENTS_KEPT))
        self._newest = stored.id
        self._adds += 1
        return stored

    @property
    def newest(self) -> int:
        """The highest id given so far, 0 before the first."""
        return self._newest

    def read(self, key: Key | None, after: int, limit: int, namespace: str | None = None) -> Sequence[EventRecord]:
        """The `limit` newest ones, oldest first; with `after`, the first `limit` ones above that id.

        Of one sandbox, else of one namespace, else all.
        """
        tests: list[tuple[str, tuple[str | int, ...]]] = [("id > ?", (after,))]
        if key is not None:
            tests.append(("(kind, namespace, name) = (?, ?, ?)", tuple(key)))
        elif namespace is not None:
            tests.append(("namespace = ?", (namespace,)))
        wanted = " AND ".join(test for test, _ in tests)
        values = [value for _, given in tests for value in given]
        query = f"SELECT {_COLUMNS} FROM events WHERE {wanted} ORDER BY id {'ASC' if after > 0 else 'DESC'} LIMIT ?"
        rows = self._connection.execute(query, (*values, limit)).fetchall()
        return [_event(row) for row in (rows if after > 0 else reversed(rows))]

    def _raise_count(self, event: EventRecord) -> EventRecord | None:
        same = (*event.key, event.at - REPEAT_WINDOW, event.type, event.reason, event.message)
        found = self._connection.execute(_REPEATED, same).fetchone()
        if found is None:
            return None
        former, first, count = found
        raised = replace(event, first=first, count=count + event.count)
        change = (raised.id, raised.at, raised.count, former)
        self._connection.execute("UPDATE events SET id = ?, at = ?, count = ? WHERE id = ?", change)
        return raised

    def _insert(self, event: EventRecord) -> EventRecord:
        row = (event.type, event.reason, event.message, event.at, event.first, event.count, event.id)
        self._connection.execute(_INSERT, (*event.key, *row))
        return event


def _event(row: tuple[Any, ...]) -> EventRecord:
    return EventRecord(Key(*row[:3]), *row[3:])
