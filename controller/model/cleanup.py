"""What is cleaned up by itself. Nothing is, unless it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CleanupPolicy:
    """Each None: never. Times are seconds, sizes bytes.

    `unused_for`: images with packages, and downloaded packages, that no sandbox was made from for so long.
    `images_max_size`: those unused for longest, beyond so much in all. `workspaces_after`: workspaces that
    `shutdownPolicy: Retain` has kept for so long after expiry go to the trash. `orphans_after`: sandboxes of ours that
    no manifest and no store has known for so long are removed.
    """

    unused_for: float | None = None
    images_max_size: int | None = None
    workspaces_after: float | None = None
    orphans_after: float | None = None


NO_CLEANUP: Final = CleanupPolicy()
