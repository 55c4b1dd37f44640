"""The state store: one SQLite file that can be rebuilt, at the price of counts and history.

Write-ahead logging with synchronous=FULL: a write that returned survives `kill -9` and a power cut. An fsync per write
costs about 0.1 ms, and uid, generation and the deadlines counted from them are known to nothing else in time.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog

from controller.model.clock import Clock
from controller.model.errors import StateError
from controller.model.identity import Key
from controller.model.record import Record, Termination
from controller.model.status import EventRecord, SandboxStatus
from controller.report import event_log, store_schema
from controller.report.codec import decode, encode

TERMINATIONS_KEPT: Final = 20
TERMINATIONS_AGE: Final = 7 * 86400.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


class SqliteStore:
    """A StateStore in one file, for one process (its caller holds the instance lock) and any number of its threads.

    Every method raises StateError where the disk is full, read-only or gone; its text says which and what to do. No
    part of that write then took place and the store stays usable: go on, and save again at the next pass. What had been
    read stays valid. `rebuilt` is not empty where a damaged file was found and set aside as `<name>.damaged-<time>`.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._added = threading.Condition(threading.Lock())
        self._saved: dict[Key, tuple[Record, SandboxStatus | None]] = {}
        with self._translated():
            self._connection, self._rebuilt = store_schema.open_database(path, clock.now())
            self._events = event_log.EventLog(self._connection)

    @property
    def rebuilt(self) -> str:
        """Why the store began empty although one was there, or the empty string."""
        return self._rebuilt

    def load(self) -> Mapping[Key, tuple[Record, SandboxStatus | None]]:
        """Everything remembered. A row that cannot be read is left out, and logged: it counts as never stored."""
        query = "SELECT kind, namespace, name, record, status FROM sandboxes ORDER BY kind, namespace, name"
        with self._lock, self._translated():
            rows = self._connection.execute(query).fetchall()
        loaded = {}
        for kind, namespace, name, record, status in rows:
            key = Key(kind, namespace, name)
            try:
                loaded[key] = (_from_text(Record, record), _status_from(key, status))
            except StateError as exc:
                log.warning("stored record unreadable", key=str(key), error=str(exc))
        with self._lock:
            self._saved = dict(loaded)
        return loaded

    def save(self, key: Key, record: Record, status: SandboxStatus | None) -> None:
        """Remember one key. Writes nothing where nothing but `status.usage` is new: the next tick measures again."""
        with self._lock:
            if _is_same(self._saved.get(key), record, status):
                return
            row = (*key, record.uid, _to_text(record), None if status is None else _to_text(status))
            with self._translated():
                self._connection.execute("INSERT OR REPLACE INTO sandboxes VALUES (?, ?, ?, ?, ?, ?)", row)
            self._saved[key] = (record, status)

    def delete(self, key: Key) -> None:
        """Forget one key; its events and terminations stay until they age out."""
        with self._lock, self._translated():
            self._connection.execute("DELETE FROM sandboxes WHERE (kind, namespace, name) = (?, ?, ?)", key)
            self._saved.pop(key, None)

    def add_event(self, event: EventRecord) -> EventRecord:
        """Append an event, or raise the count of the same one (key, reason, message) of the last ten minutes.

        Returns it as stored: with its id, `first` and `count`. The newest 20,000 of the last seven days are kept.
        """
        with self._lock, self._translated():
            stored = self._events.add(event)
        with self._added:
            self._added.notify_all()
        return stored

    def events(
        self, key: Key | None = None, after: int = 0, limit: int = 1000, namespace: str | None = None
    ) -> Sequence[EventRecord]:
        """Events in order of their last occurrence: the `limit` newest, or with `after` the first ones above that id.

        Of one sandbox, else of one namespace, else all. A repeated event moves to the end under a new id, so that a
        reader who follows sees it again.
        """
        with self._lock, self._translated():
            return self._events.read(key, after, limit, namespace)

    def wait_for_event(self, after: int, timeout: float) -> int:
        """Block until there is an event with an id above `after`, or the timeout; the newest id, 0 where none is."""
        with self._added:
            self._added.wait_for(lambda: self._events.newest > after, timeout)
            return self._events.newest

    def add_termination(self, key: Key, uid: str, termination: Termination) -> None:
        """Keep the evidence of one termination: the last 20 of a sandbox, and none of a deleted one after a week."""
        insert = "INSERT INTO terminations (kind, namespace, name, uid, at, body) VALUES (?, ?, ?, ?, ?, ?)"
        row = (*key, uid, termination.finished_at, _to_text(termination))
        with self._lock, self._translated(), store_schema.transaction(self._connection):
            self._connection.execute(insert, row)
            self._connection.execute(_TRIM_TERMINATIONS, (*key, *key, TERMINATIONS_KEPT))
            self._connection.execute(_AGE_TERMINATIONS, (self._clock.now() - TERMINATIONS_AGE,))

    def terminations(self, key: Key) -> Sequence[Termination]:
        """The evidence kept, newest first: of the sandbox that is there, else of the last one of that name."""
        with self._lock, self._translated():
            rows = self._connection.execute(_TERMINATIONS_OF, (*key, *key, *key)).fetchall()
        return [_from_text(Termination, body) for (body,) in rows]

    def forget_terminations(self, key: Key) -> None:
        """Delete the evidence of one sandbox."""
        with self._lock, self._translated():
            self._connection.execute("DELETE FROM terminations WHERE (kind, namespace, name) = (?, ?, ?)", key)

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            raise StateError(store_schema.advice(self._path, exc)) from exc


_TRIM_TERMINATIONS: Final = """
DELETE FROM terminations WHERE (kind, namespace, name) = (?, ?, ?) AND id NOT IN (
    SELECT id FROM terminations WHERE (kind, namespace, name) = (?, ?, ?) ORDER BY id DESC LIMIT ?)
"""
_AGE_TERMINATIONS: Final = """
DELETE FROM terminations WHERE at < ? AND (kind, namespace, name) NOT IN (SELECT kind, namespace, name FROM sandboxes)
"""
_TERMINATIONS_OF: Final = """
SELECT body FROM terminations WHERE (kind, namespace, name) = (?, ?, ?) AND uid = coalesce(
    (SELECT uid FROM sandboxes WHERE (kind, namespace, name) = (?, ?, ?)),
    (SELECT uid FROM terminations WHERE (kind, namespace, name) = (?, ?, ?) ORDER BY id DESC LIMIT 1))
ORDER BY id DESC
"""


def _is_same(saved: tuple[Record, SandboxStatus | None] | None, record: Record, status: SandboxStatus | None) -> bool:
    if saved is None or saved[0] != record:
        return False
    if saved[1] is None or status is None:
        return saved[1] is status
    return replace(saved[1], usage=status.usage) == status


def _status_from(key: Key, text: str | None) -> SandboxStatus | None:
    """None where it cannot be read: a status is worked out again by the next pass."""
    if text is None:
        return None
    try:
        return _from_text(SandboxStatus, text)
    except StateError as exc:
        log.warning("stored status unreadable", key=str(key), error=str(exc))
        return None


def _to_text(value: Any) -> str:
    return json.dumps(encode(value), separators=(",", ":"))


def _from_text(wanted: type[T], text: str) -> T:
    try:
        data = json.loads(text)
    except ValueError as exc:
        raise StateError(f"this is not stored JSON: {exc}") from exc
    return decode(wanted, data)
