"""Replacing an instance by one made from another spec, in either isolation.

The old one is frozen (or stopped, where it holds a port that the new one needs), the new one starts on the same
workspace and must become Ready; then the old one is removed. Where that fails the new one is removed and the old one
goes on as it was. There are never two unfrozen instances of one sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from controller.model.identity import Owner
from controller.model.observed import InstanceState, Observed
from controller.model.operation import Operation, Verb
from controller.model.record import Intent
from controller.model.spec import Desired
from controller.model.status import Phase
from controller.plan.cast import RUNTIME_OF, Cast
from controller.plan.difference import cause_of_change
from controller.plan.exits import failed
from controller.plan.view import Notice, Plan, Verdict, View

KeepRunning = Callable[[View, Desired, Observed], Plan]


def plan_replacement(view: View, desired: Desired, cast: Cast) -> Plan:
    """Begin: have everything the new one needs, quiet the old one, create and start the new one."""
    runtime, record = RUNTIME_OF[desired.spec.isolation], view.record
    newest = cast.stale[0]
    cause = _cause(view, newest, desired)
    owner = Owner(view.instance, view.key, record.uid, record.generation, desired.spec_hash, cast.free_slot())
    surplus = [_remove(view, seen, "an instance too many") for seen in cast.stale[1:]]
    operations = [
        Operation(Verb.PREPARE, view.key, runtime, cause, desired=desired),
        *surplus,
        *(quieted for seen in cast.stale[:1] if (quieted := _quiet(view, seen, desired, cause))),
        Operation(Verb.CREATE, view.key, runtime, cause, desired=desired, owner=owner),
        Operation(Verb.START, view.key, runtime, cause),
    ]
    begun = replace(record, ending=Intent("replace", cause))
    return Plan(
        begun,
        Verdict(Phase.CREATING, False, "Replacing", cause),
        tuple(operations),
        after=replace(begun, runtime=runtime, ending=None, applied=None),
        notices=(Notice("Replacing", cause),),
    )


def plan_succession(view: View, cast: Cast, plan: Plan) -> Plan:
    """The new one is Ready: remove the old."""
    removals = tuple(_remove(view, seen, "its replacement is Ready") for seen in cast.stale)
    return replace(plan, operations=(*plan.operations, *removals))


def plan_rollback(view: View, desired: Desired, cast: Cast, failure: str) -> Plan:
    """The new one failed: remove it; the next pass lets the old one go on."""
    operations = (_remove(view, cast.current, failure),) if cast.current else ()
    record = failed(view.record, desired.spec_hash, "ReplaceFailed", failure)
    return Plan(
        replace(record, ending=Intent("replace", failure)),
        Verdict(Phase.CREATING, False, "ReplaceFailed", failure),
        operations,
        after=replace(record, ending=None, frozen=True, restart_after=0.0),
        requeue_at=view.now,
        notices=(Notice("ReplaceFailed", failure, warning=True),),
    )


def plan_failed(view: View, desired: Desired, cast: Cast, keep_running: KeepRunning) -> Plan:
    """A spec that failed waits for an edit; its predecessor goes on where there is one."""
    record = view.record
    if cast.predecessor is None or record.failure_reason != "ReplaceFailed":
        removal = tuple(_remove(view, seen, record.failure) for seen in cast.stale)
        return Plan(record, Verdict(Phase.FAILED, False, record.failure_reason, record.failure), removal)
    before = _as_it_was(desired, cast.predecessor)
    plan = keep_running(view, before, cast.predecessor)
    message = f"{record.failure}; the previous version goes on until the manifest is edited"
    return replace(plan, verdict=replace(plan.verdict, degraded=("ReplaceFailed", message)))


def _as_it_was(desired: Desired, seen: Observed) -> Desired:
    """The predecessor's own wishes: its limits stay as they are."""
    limits = replace(desired.spec.limits, memory=seen.limits.memory, cpu=seen.limits.cpu, pids=seen.limits.pids)
    return replace(desired, spec=replace(desired.spec, limits=limits), spec_hash=seen.owner.spec_hash)


def _cause(view: View, seen: Observed, desired: Desired) -> str:
    if seen.owner.uid != view.record.uid:
        return "its workspace was restored"
    if view.desired is not None and view.desired is not desired:
        return "no engine: spec.fallback is directory"
    return cause_of_change(seen.template, desired.template)


def _quiet(view: View, seen: Observed, desired: Desired, cause: str) -> Operation | None:
    if seen.state is not InstanceState.RUNNING and not (
        seen.state is InstanceState.PAUSED and _shares_port(seen.template, desired)
    ):
        return None
    able = view.capabilities.get(seen.runtime)
    freeze = able is not None and able.freeze and not _shares_port(seen.template, desired)
    grace = desired.spec.lifecycle.stop_grace_period
    return Operation(Verb.PAUSE if freeze else Verb.STOP, view.key, seen.runtime, cause, target=seen.id, grace=grace)


def _shares_port(template: Mapping[str, Any], desired: Desired) -> bool:
    published = {port["hostPort"] for port in (template.get("network") or {}).get("ports", ())}
    return any(port.host_port in published for port in desired.spec.network.ports)


def _remove(view: View, seen: Observed, cause: str) -> Operation:
    return Operation(Verb.REMOVE, view.key, seen.runtime, cause, target=seen.id)
