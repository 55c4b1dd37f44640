"""A clock that tests move by hand."""

from __future__ import annotations

import threading


class FakeClock:
    """Starts at a round time and stands still until it is advanced."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._now = start
        self._monotonic = 1000.0

    def monotonic(self) -> float:
        return self._monotonic

    def now(self) -> float:
        return self._now

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        return event.is_set()

    def jump(self, seconds: float) -> None:
        """The wall's clock is set by so much, or the machine slept so long."""
        self._now += seconds

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._now += seconds
        self._monotonic += seconds
