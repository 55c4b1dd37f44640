"""Calls something at a fixed phase, and says when it took longer than its period."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import structlog

from controller.model.clock import Clock

log = structlog.get_logger(__name__)


class Ticker:
    """A thread that calls `work` every `period` seconds, counted from its start, never in a burst after a delay."""

    def __init__(
        self, name: str, period: float, work: Callable[[], None], clock: Clock, ended: Callable[[float, bool], None]
    ) -> None:
        self._period = period
        self._work = work
        self._clock = clock
        self._ended = ended
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.last_beat = clock.monotonic()

    def start(self) -> None:
        """Begin; the first call is at once."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """End after the present call."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def alive(self) -> bool:
        """True while the thread lives and its last beat is no more than five periods (at least 30 s) ago."""
        patience = max(30.0, 5 * self._period)
        return self._thread.is_alive() and self._clock.monotonic() - self.last_beat < patience

    def _run(self) -> None:
        origin = self._clock.monotonic()
        while not self._stopping.is_set():
            self.last_beat = began = self._clock.monotonic()
            try:
                self._work()
                seconds = self._clock.monotonic() - began
                self._ended(seconds, seconds > self._period)
            except Exception:
                log.exception("ticker_panicked", ticker=self._thread.name)
            now = self._clock.monotonic()
            upcoming = origin + (math.floor((now - origin) / self._period) + 1) * self._period
            self._clock.wait(self._stopping, upcoming - now)
