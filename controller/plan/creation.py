"""Making an instance: the first one, or one that takes the place of another made from another spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from controller.model.identity import Owner
from controller.model.observed import InstanceState, Observed
from controller.model.operation import Operation, Verb
from controller.model.record import Record, Replacement
from controller.model.spec import Desired
from controller.model.status import Phase
from controller.plan.cast import RUNTIME_OF, Cast, free_slot
from controller.plan.difference import cause_of_change
from controller.plan.running import ready_at, starting
from controller.plan.view import Notice, Plan, Verdict, View


def plan_creation(view: View, desired: Desired, cast: Cast, upkeep: Plan | None = None) -> Plan:
    """Have everything the new instance needs, clear the way for it, create and start it.

    What is slow or may fail without harm comes first, while the old one still runs. `upkeep` is the plan, with nothing
    to do, of one that stands in.
    """
    runtime = RUNTIME_OF[desired.spec.isolation]
    old = cast.predecessor or next(iter(cast.surplus), None)
    lost = old is None and bool(view.record.instance_id) and view.record.ending is None
    cause = _cause(view, desired, old, lost)
    record = _begun(view, runtime, cast, old)
    owner = Owner(view.instance, view.key, record.uid, record.generation, desired.spec_hash, free_slot(view, cast))
    drifted = ("instance",) if lost else ()
    operations = (
        Operation(Verb.PREPARE, view.key, runtime, cause, desired=desired),
        *removals_of(view, cast.surplus, "an instance too many" if cast.predecessor else cause),
        *quieting(view, desired, cast, cause),
        Operation(Verb.CREATE, view.key, runtime, cause, desired=desired, owner=owner, drifted=drifted),
        Operation(Verb.START, view.key, runtime, cause),
    )
    verdict = Verdict(Phase.CREATING, False, "Replacing", cause) if old else starting(view, desired)
    notices = (Notice("Replacing", cause),) if old else ()
    requeue_at = upkeep.requeue_at if upkeep else None
    meanwhile = Plan(view.record, _meanwhile(view, cast, upkeep, verdict), requeue_at=requeue_at)
    return Plan(record, verdict, operations, requeue_at=requeue_at, notices=notices, meanwhile=meanwhile)


def _meanwhile(view: View, cast: Cast, upkeep: Plan | None, verdict: Verdict) -> Verdict:
    """An old one is what it was while its replacement is prepared, however long that takes or fails."""
    old = cast.stand_in
    if upkeep is not None and not upkeep.verdict.ready:
        return upkeep.verdict
    if old is None or old.state is not InstanceState.RUNNING:
        return verdict
    return replace(verdict, phase=Phase.RUNNING, ready=view.now >= ready_at(old, view.now))


def quieting(view: View, desired: Desired, cast: Cast, cause: str) -> Iterator[Operation]:
    """Freeze the predecessor, or stop it where it cannot be frozen or holds a port that the new one needs."""
    seen = cast.predecessor
    if seen is None:
        return
    shares_port = _shares_port(seen.template, desired)
    if seen.state is not InstanceState.RUNNING and not (seen.state is InstanceState.PAUSED and shares_port):
        return
    able = view.capabilities.get(seen.runtime)
    freeze = able is not None and able.freeze and not shares_port
    grace = desired.spec.lifecycle.stop_grace_period
    yield Operation(Verb.PAUSE if freeze else Verb.STOP, view.key, seen.runtime, cause, target=seen.id, grace=grace)


def removals_of(view: View, instances: tuple[Observed, ...], cause: str) -> Iterator[Operation]:
    """Remove these instances."""
    for seen in instances:
        yield Operation(Verb.REMOVE, view.key, seen.runtime, cause, target=seen.id)


def replacement_of(view: View, predecessor: Observed) -> Replacement:
    """The replacement under way; its clock begins as the predecessor is quieted."""
    known = view.record.replacing
    if known and known.predecessor == predecessor.id and predecessor.state is not InstanceState.RUNNING:
        return known
    return Replacement(predecessor.id, predecessor.runtime, view.now)


def _begun(view: View, runtime: str, cast: Cast, old: Observed | None) -> Record:
    """Saved before the first one that cannot be taken back: from now on either runtime may hold an instance."""
    before = replace(view.record, crash_streak=0, restart_after=0.0) if view.record.unprepared else view.record
    return replace(
        before,
        runtime=runtime,
        instance_id="" if old else view.record.instance_id,
        ending=None,
        frozen=False,
        unprepared="",
        replacing=replacement_of(view, cast.predecessor) if cast.predecessor else None,
    )


def _cause(view: View, desired: Desired, old: Observed | None, lost: bool) -> str:
    if old is None and lost:
        return f"its {desired.spec.isolation} was removed from outside"
    if old is None and desired is not view.desired:
        return f"no engine: spec.fallback is {desired.spec.isolation}"
    if old is None:
        return f"declared in {desired.origin}"
    if old.owner.uid != view.record.uid:
        return "its workspace was restored"
    if desired.fallback is not None and old.owner.spec_hash == desired.fallback.spec_hash:
        return f"the engine is back: spec.isolation is {desired.spec.isolation}"
    return cause_of_change(old.template, desired.template)


def _shares_port(template: Mapping[str, Any], desired: Desired) -> bool:
    published = {port["hostPort"] for port in (template.get("network") or {}).get("ports", ())}
    return any(port.host_port in published for port in desired.spec.network.ports)
