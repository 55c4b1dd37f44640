"""Notices when the wall's clock has jumped: it was set, or the machine slept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from controller.model.clock import Clock

log = structlog.get_logger(__name__)

_JUMP_SECONDS: Final = 1.0


class JumpWatch:
    """Says so when the wall's clock is no longer where it should be by the one that never jumps.

    What waits for a time of the wall is slept off by that other one, and has to be looked at again then.
    """

    def __init__(self, clock: Clock, jumped: Callable[[], None]) -> None:
        self._clock = clock
        self._jumped = jumped
        self._offset = self._measured()

    def look(self) -> None:
        """Compare the two clocks."""
        offset = self._measured()
        seconds = offset - self._offset
        if abs(seconds) < _JUMP_SECONDS:
            return
        self._offset = offset
        log.info("clock_jumped", seconds=round(seconds, 1))
        self._jumped()

    def _measured(self) -> float:
        return self._clock.now() - self._clock.monotonic()
