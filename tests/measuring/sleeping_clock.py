"""A clock moved by hand on which a thread of the code under test really sleeps."""

from __future__ import annotations

import threading

from tests.measuring.machine import DEADLINE
from tests.support.clock import FakeClock


class SleepingClock(FakeClock):
    """`step` seconds pass at every look at the time, as if whatever happens between two looks took that long."""

    def __init__(self, step: float = 0.0) -> None:
        super().__init__()
        self._step = step
        self._changed = threading.Condition()
        self._asleep = False
        self._until: float | None = None

    def monotonic(self) -> float:
        with self._changed:
            self._monotonic += self._step
            return self._monotonic

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        with self._changed:
            self._asleep, self._until = True, None if timeout is None else self._monotonic + timeout
            self._changed.notify_all()
        while not event.wait(0.001):
            with self._changed:
                if self._until is not None and self._monotonic >= self._until:
                    break
        with self._changed:
            self._asleep = False
        return event.is_set()

    def advance(self, seconds: float) -> None:
        with self._changed:
            super().advance(seconds)

    def sleeps_for(self) -> float | None:
        """Wait for the thread to sleep; for how long it does, or None where only a wake-up ends it."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._asleep, DEADLINE), "nothing sleeps on the clock"
            return None if self._until is None else self._until - self._monotonic
