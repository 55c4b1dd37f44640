"""Whether looking at the folder goes on: of a file system that hangs, no look ever tells."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from controller.model.clock import Clock

PATIENCE: Final = 30.0
"""Seconds that a look may take before it is told: far more than one at ten thousand manifests does."""


class Looks:
    """Marks left by the thread that looks, for those who ask after it."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root
        self._clock = clock
        self._began: float | None = None
        self._failure = ""

    def begin(self) -> None:
        """A look begins."""
        self._began = self._clock.monotonic()

    def end(self) -> None:
        """It is over."""
        self._began = None

    def judge(self, failure: str) -> None:
        """Why it came to nothing; the empty string where it did not."""
        self._failure = failure

    def trouble(self) -> str:
        """Why edits are not seen, and what to do; the empty string where they are."""
        began = self._began
        taken = 0.0 if began is None else self._clock.monotonic() - began
        if taken > PATIENCE:
            return f"{self._root} has not answered for {taken:.0f} s and no edit is seen; check its file system"
        return f"{self._root} could not be looked at: {self._failure}; see the log" if self._failure else ""
