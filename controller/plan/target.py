"""What one sandbox should be doing now: its manifest, its holds and its past in, one target out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from controller.model.hold import Hold, HoldType
from controller.model.record import Record
from controller.model.spec import Lifecycle, OperatingMode, ShutdownPolicy, SuspendMode
from controller.plan.exits import end_text
from controller.plan.view import View

LIMIT_EXCEEDED: Final = "LimitExceeded"


class Goal(Enum):
    """Where an instance has to get to."""

    RUN = auto()
    FROZEN = auto()
    DOWN = auto()
    GONE = auto()


@dataclass(frozen=True, slots=True)
class Target:
    """The goal, why, and whether the workspace goes with it."""

    goal: Goal
    reason: str = ""
    message: str = ""
    finished: bool = False
    erase: bool = False

    @property
    def cause(self) -> str:
        """The cause of an end that this target asks for: a limit's name comes first."""
        return self.message if self.reason == LIMIT_EXCEEDED else f"{self.reason}: {self.message}"


def target_of(view: View, lifecycle: Lifecycle) -> Target:
    """The target of a declared sandbox; the strongest wish wins: gone, ended, stopped, suspended, paused, running."""
    holds = {hold.type: hold for hold in view.holds}
    if deleted := holds.get(HoldType.DELETED):
        return Target(Goal.GONE, "Deleted", deleted.cause)
    if expired(lifecycle, view.record, view.now):
        erase = lifecycle.shutdown_policy is ShutdownPolicy.DELETE
        return Target(Goal.GONE, "Expired", _expiry_text(lifecycle), finished=True, erase=erase)
    if view.record.finished:
        return Target(Goal.DOWN, view.record.finished, end_text(view.record), finished=True)
    if stopped := holds.get(HoldType.STOPPED):
        return Target(Goal.DOWN, LIMIT_EXCEEDED, stopped.cause)
    return _suspended(lifecycle, holds) or Target(Goal.RUN)


def _suspended(lifecycle: Lifecycle, holds: dict[HoldType, Hold]) -> Target | None:
    hold = holds.get(HoldType.SUSPENDED)
    by_manifest = lifecycle.operating_mode is OperatingMode.SUSPENDED
    if hold or by_manifest:
        cause = hold.cause if hold else "spec.operatingMode is Suspended"
        goal = Goal.FROZEN if lifecycle.suspend_mode is SuspendMode.FREEZE else Goal.DOWN
        return Target(goal, "Suspended", cause)
    if paused := holds.get(HoldType.PAUSED):
        return Target(Goal.FROZEN, "Paused", paused.cause)
    return None


def expires_at(lifecycle: Lifecycle, record: Record) -> float | None:
    """When it ends (epoch seconds): the earlier of shutdownTime and ttl after its acceptance; None: never."""
    ends = [lifecycle.shutdown_time, None if lifecycle.ttl is None else record.accepted_at + lifecycle.ttl]
    return min((end for end in ends if end is not None), default=None)


def expired(lifecycle: Lifecycle, record: Record, now: float) -> bool:
    """True once its end has come."""
    end = expires_at(lifecycle, record)
    return end is not None and now >= end


def _expiry_text(lifecycle: Lifecycle) -> str:
    return "spec.ttl has passed" if lifecycle.shutdown_time is None else "spec.shutdownTime or spec.ttl has passed"
