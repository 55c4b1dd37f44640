"""The plane behind the command line's daemon."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.model.identity import Key
from tests.report.plane import FakePlane


@dataclass
class Plane(FakePlane):
    """Answers a restore with what the test says; `watched` is set once somebody watches."""

    restored: Mapping[str, Any] = field(default_factory=dict)
    watched: threading.Event = field(default_factory=threading.Event)

    def wait_for_change(self, version: int, timeout: float) -> int:
        if timeout:
            self.watched.set()
        return super().wait_for_change(version, timeout)

    def wait_for_event(self, after: int, timeout: float) -> int:
        if timeout:
            self.watched.set()
        return super().wait_for_event(after, timeout)

    def restore(self, key: Key) -> Mapping[str, Any]:
        super().restore(key)
        return self.restored
