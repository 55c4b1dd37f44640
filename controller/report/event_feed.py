"""Events as bytes, once or as a feed of new ones."""

from __future__ import annotations

from dataclasses import dataclass

from controller.model.identity import Key
from controller.report.answers import json_bytes
from controller.report.protocol import ControlPlane
from controller.report.render import event_document


@dataclass(frozen=True, slots=True)
class EventFeed:
    """`{"items"}` of one sandbox, of one namespace or all: the newest `limit`, or the first ones after an id."""

    control: ControlPlane
    key: Key | None
    namespace: str | None
    limit: int

    def page(self, after: int) -> bytes:
        """Those that are there."""
        return self._read(after)[0]

    def read(self, since: int) -> tuple[bytes, int]:
        """Those since an id, and the id up to which all were looked at; nothing where none of them is meant."""
        newest = self.wait(0, 0.0)
        line, found, last = self._read(since)
        if found < self.limit:
            last = max(last, newest)
        return line if found or not since else b"", last

    def wait(self, version: int, timeout: float) -> int:
        """Block until there is an event after that id, or the timeout; the newest id."""
        return self.control.wait_for_event(version, timeout)

    def _read(self, after: int) -> tuple[bytes, int, int]:
        events = self.control.events(self.key, after, self.limit, self.namespace)
        last = events[-1].id if events else after
        return json_bytes({"items": [event_document(event) for event in events]}), len(events), last
