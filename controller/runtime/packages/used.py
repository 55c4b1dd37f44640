"""When something was used last, remembered over restarts: a file for each, whose time it is."""

from __future__ import annotations

import contextlib
from pathlib import Path


class UsedTimes:
    """For any thread. What cannot be written is not remembered: its user then looks idle for longer than it is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note(self, name: str) -> None:
        """It is used now."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._folder / name).touch(mode=0o600)

    def last(self, name: str) -> float | None:
        """When, in seconds since the epoch; None where it is not known."""
        try:
            return (self._folder / name).stat().st_mtime
        except OSError:
            return None

    def forget(self, name: str) -> None:
        """It is gone."""
        with contextlib.suppress(OSError):
            (self._folder / name).unlink(missing_ok=True)
