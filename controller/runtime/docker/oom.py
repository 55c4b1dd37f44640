"""Which ends the kernel brought about for want of memory.

The engine's own mark and the kernel's count tell that it killed some process of a container once, and stay with it:
what is asked here is when.
"""

from __future__ import annotations

from typing import Final

from controller.model.clock import Clock
from controller.model.observed import Exit

_KILLED: Final = 137
_SAME_SECONDS: Final = 2.0  # between a kill and the end that it is


class OomKills:
    """When a kill in each container was noticed last, by the engine's event or the tick's count. For any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at: dict[str, float] = {}

    def note(self, id: str) -> None:
        """There was one just now."""
        self._at[id] = self._clock.now()

    def forget(self, id: str) -> None:
        """The container is gone."""
        self._at.pop(id, None)

    def explain(self, id: str, end: Exit, started_at: float | None) -> bool:
        """Whether a run that began at `started_at` ended by one. Where none was noticed, the engine's mark tells."""
        at = self._at.get(id)
        if end.code != _KILLED or at is None:
            return end.oom_killed
        return at >= max(end.finished_at - _SAME_SECONDS, started_at or 0.0)
