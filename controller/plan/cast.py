"""Which of the observed instances plays which part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from controller.model.identity import SLOTS, Slot, other_slot, same_version
from controller.model.observed import InstanceState, Observed
from controller.model.record import Record
from controller.model.spec import Desired, Isolation
from controller.plan.difference import contradicts
from controller.plan.view import View

RUNTIME_OF: Final = {Isolation.CONTAINER: "docker", Isolation.DIRECTORY: "directory"}
UP: Final = frozenset({InstanceState.RUNNING, InstanceState.PAUSED})


@dataclass(frozen=True, slots=True)
class Cast:
    """`current` was made from the wanted spec. `predecessor` goes on should that one fail. `surplus` have no part left.

    `failed`: the wanted spec has failed and waits for an edit. `stand_in` is the one among the others that stands for
    the sandbox until its replacement is prepared: nothing has quieted it yet.
    """

    current: Observed | None
    predecessor: Observed | None
    surplus: tuple[Observed, ...]
    failed: bool
    stand_in: Observed | None = None

    @property
    def acting(self) -> Observed | None:
        """The instance that stands for the sandbox."""
        return self.predecessor if self.failed and self.predecessor else self.current or self.stand_in

    @property
    def others(self) -> tuple[Observed, ...]:
        """Every instance beside the current one."""
        return (*((self.predecessor,) if self.predecessor else ()), *self.surplus)


def cast_of(view: View, desired: Desired) -> Cast:
    """The parts. The newest fitting instance is current; those that are up come before those that are not."""
    present = sorted(
        (seen for seen in view.observed if seen.state is not InstanceState.REMOVING), key=_importance, reverse=True
    )
    current = next((seen for seen in present if _fits(view, desired, seen)), None)
    stale = [seen for seen in present if seen is not current]
    failed = view.record.failed_hash == desired.spec_hash
    predecessor = _predecessor(view.record, current, stale, failed)
    stand_in = None if current or failed else _stand_in(view.record, desired, predecessor, stale)
    return Cast(current, predecessor, tuple(seen for seen in stale if seen is not predecessor), failed, stand_in)


def free_slot(view: View, cast: Cast) -> Slot:
    """A slot for a new instance: one that is empty once the surplus ones are removed."""
    kept = [seen.owner.slot for seen in view.observed if seen not in cast.surplus]
    after_predecessor = other_slot(cast.predecessor.owner.slot) if cast.predecessor else SLOTS[0]
    return next((slot for slot in SLOTS if slot not in kept), after_predecessor)


def _predecessor(record: Record, current: Observed | None, stale: Sequence[Observed], failed: bool) -> Observed | None:
    """The one that a replacement has quieted, else one that is up, else the one that a failed replacement fell back to.

    One that has ended has nothing to go on with. Where the quieted one is wanted again, its successor is surplus.
    """
    quieted = record.replacing.predecessor if record.replacing else ""
    if current is not None and current.id == quieted:
        return None
    fallen_back_to = record.instance_id if failed else ""
    for fits in (
        lambda seen: seen.id == quieted,
        lambda seen: seen.state in UP,
        lambda seen: seen.id == fallen_back_to,
    ):
        if found := next(filter(fits, stale), None):
            return found
    return None


def _stand_in(
    record: Record, desired: Desired, predecessor: Observed | None, stale: Sequence[Observed]
) -> Observed | None:
    """The predecessor until it is quieted; one that has ended only where it would make room in vain."""
    if predecessor is not None:
        makes_room = record.replacing is not None and record.replacing.predecessor == predecessor.id
        return None if makes_room and predecessor.state is not InstanceState.RUNNING else predecessor
    if record.unprepared != desired.spec_hash:
        return None
    return next((seen for seen in stale if seen.id == record.instance_id), None)


def is_made_from(seen: Observed, desired: Desired, adopted: str = "") -> bool:
    """Whether an instance was made from the wanted spec.

    One of another version was where nothing that both know differs; once `adopted` as such, until its spec is edited.
    """
    if same_version(seen.owner.spec_hash, desired.spec_hash):
        return seen.owner.spec_hash == desired.spec_hash
    if adopted.startswith(_adoption(seen, "")):
        return adopted == _adoption(seen, desired.spec_hash)
    return bool(seen.template) and not contradicts(seen.template, desired.template)


def adopting(record: Record, seen: Observed | None, desired: Desired) -> Record:
    """The record once the current instance, made by another version, was found to fit."""
    if seen is None or same_version(seen.owner.spec_hash, desired.spec_hash):
        return record
    return replace(record, adopted=_adoption(seen, desired.spec_hash))


def _adoption(seen: Observed, spec_hash: str) -> str:
    return f"{seen.id} as {spec_hash}"


def _fits(view: View, desired: Desired, seen: Observed) -> bool:
    return (
        seen.runtime == RUNTIME_OF[desired.spec.isolation]
        and is_made_from(seen, desired, view.record.adopted)
        and seen.owner.uid == view.record.uid
    )


def _importance(seen: Observed) -> tuple[bool, float, str]:
    return seen.state in UP, seen.created_at, seen.id
