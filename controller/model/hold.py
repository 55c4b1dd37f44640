"""Holds: what a person or an enforcement does against the manifest. desired = manifest + holds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.model.identity import Key


class HoldType(StrEnum):
    """What is held."""

    SUSPENDED = "Suspended"
    PAUSED = "Paused"
    THROTTLED = "Throttled"
    STOPPED = "Stopped"
    DELETED = "Deleted"


class Release(StrEnum):
    """What ends a hold."""

    RESUME = "resume"
    EDIT_OR_RESUME = "edit or resume"
    HYSTERESIS = "usage falls"


RELEASES = {
    HoldType.SUSPENDED: Release.RESUME,
    HoldType.PAUSED: Release.RESUME,
    HoldType.THROTTLED: Release.HYSTERESIS,
    HoldType.STOPPED: Release.EDIT_OR_RESUME,
    HoldType.DELETED: Release.EDIT_OR_RESUME,
}


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold on one key. `since` is epoch seconds. What it was imposed on is told by `resolved_hash`, which an edit
    changes, and, for people and where that cannot be compared, by `generation`, which an edit raises.

    `value` is what a Throttled hold lowers cpu to, in thousandths of a core.
    """

    key: Key
    type: HoldType
    cause: str
    since: float
    generation: int
    value: int | None = None
    resolved_hash: str = ""

    @property
    def release(self) -> Release:
        """The rule that ends this hold."""
        return RELEASES[self.type]
