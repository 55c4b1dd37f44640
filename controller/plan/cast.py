"""Which of the observed instances plays which part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from controller.model.identity import Slot, other_slot
from controller.model.observed import InstanceState, Observed
from controller.model.spec import Desired, Isolation
from controller.plan.view import View

RUNTIME_OF: Final = {Isolation.CONTAINER: "docker", Isolation.DIRECTORY: "directory"}
UP: Final = frozenset({InstanceState.RUNNING, InstanceState.PAUSED})


@dataclass(frozen=True, slots=True)
class Cast:
    """`current` was made from the wanted spec; every other instance is `stale`."""

    current: Observed | None
    stale: tuple[Observed, ...]

    @property
    def predecessor(self) -> Observed | None:
        """The stale instance that goes on should the wanted one fail."""
        return self.stale[0] if self.stale else None

    def free_slot(self) -> Slot:
        """A slot that no instance has."""
        taken = {instance.owner.slot for instance in self.stale}
        return "a" if "a" not in taken else other_slot("a")


def cast_of(view: View, desired: Desired) -> Cast:
    """The parts: the newest fitting instance is current; stale ones come newest first, those that are up before."""
    present = [seen for seen in view.observed if seen.state is not InstanceState.REMOVING]
    fitting = [seen for seen in present if _fits(view, desired, seen)]
    current = max(fitting, key=_importance, default=None)
    stale = sorted((seen for seen in present if seen is not current), key=_importance, reverse=True)
    return Cast(current, tuple(stale))


def _fits(view: View, desired: Desired, seen: Observed) -> bool:
    return (
        seen.runtime == RUNTIME_OF[desired.spec.isolation]
        and seen.owner.spec_hash == desired.spec_hash
        and seen.owner.uid == view.record.uid
    )


def _importance(seen: Observed) -> tuple[bool, float]:
    return seen.state in UP, seen.created_at
