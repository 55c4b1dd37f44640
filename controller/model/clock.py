"""Time as a seam, so that tests can run it by hand."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Two times: one that never jumps for intervals, one of the wall for people and deadlines."""

    def monotonic(self) -> float:
        """Seconds that only ever grow."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        """Wait for the event, at most `timeout` seconds of this clock; True where it was set."""


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        return time.time()

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        # Beyond that, which is centuries, Event.wait raises OverflowError.
        return event.wait(None if timeout is None else min(timeout, threading.TIMEOUT_MAX))
