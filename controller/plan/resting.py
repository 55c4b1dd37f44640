"""The plan of a sandbox that is not to run: gone, down or frozen, while its manifest stays."""

from __future__ import annotations

from dataclasses import replace

from controller.model.observed import InstanceState, Observed
from controller.model.operation import Operation, Verb
from controller.model.record import Intent, Record
from controller.model.spec import Desired
from controller.model.status import Phase
from controller.plan.cast import RUNTIME_OF, UP, Cast
from controller.plan.creation import removals_of
from controller.plan.target import Goal, Target
from controller.plan.view import Plan, Verdict, View


def plan_resting(view: View, desired: Desired, cast: Cast, target: Target) -> Plan:
    """What brings it to rest, or nothing where it is."""
    if target.goal is Goal.GONE:
        return _plan_gone(view, desired, target)
    if target.goal is Goal.FROZEN:
        return _plan_frozen(view, desired, target)
    return _plan_down(view, desired, cast, target)


def _plan_gone(view: View, desired: Desired, target: Target) -> Plan:
    cause = f"{target.reason}: {target.message}"
    verdict = Verdict(Phase.TERMINATING, False, target.reason, target.message)
    if stops := _stops(view, desired, cause):
        # Its end is accounted for before it is removed.
        return Plan(replace(view.record, ending=Intent("stop", cause)), verdict, stops)
    left = tuple(seen for seen in view.observed if seen.state is not InstanceState.REMOVING)
    operations = tuple(removals_of(view, left, cause))
    erase = target.erase and not view.record.erased
    if erase:
        runtime = RUNTIME_OF[desired.spec.isolation]
        operations = (*operations, Operation(Verb.ERASE, view.key, runtime, cause, uid=view.record.uid))
    gone = replace(view.record, ending=None, frozen=False, runtime="", instance_id="", replacing=None)
    if erase:
        gone = replace(gone, erased=True, last_termination=None)
    if operations:
        record = replace(view.record, ending=Intent("remove", cause))
        return Plan(record, verdict, operations, after=gone)
    finished = target.reason if target.finished else ""
    phase = Phase.SUCCEEDED if target.finished else Phase.SUSPENDED
    return Plan(gone, Verdict(phase, False, target.reason, target.message, finished=finished))


def _plan_down(view: View, desired: Desired, cast: Cast, target: Target) -> Plan:
    cause = f"{target.reason}: {target.message}"
    relics = cast.others if target.finished and cast.acting is cast.current else ()
    stops = _stops(view, desired, cause, but=relics)
    record = replace(view.record, ending=Intent("stop", target.cause)) if stops else view.record
    operations = (*stops, *removals_of(view, relics, "its replacement has ended"))
    return Plan(record, verdict_down(target, at_rest=not operations), operations)


def _stops(view: View, desired: Desired, cause: str, but: tuple[Observed, ...] = ()) -> tuple[Operation, ...]:
    grace = desired.spec.lifecycle.stop_grace_period
    return tuple(
        Operation(Verb.STOP, view.key, seen.runtime, cause, target=seen.id, grace=grace)
        for seen in view.observed
        if seen.state in UP and seen not in but
    )


def verdict_down(target: Target, at_rest: bool) -> Verdict:
    """What is said of a sandbox that is, or is being, stopped."""
    if target.finished:
        phase = Phase.SUCCEEDED if target.reason == "Succeeded" else Phase.FAILED
        return Verdict(phase, False, target.reason, target.message, finished=target.reason)
    if target.reason == "Suspended":
        return _suspended(target, at_rest)
    return Verdict(Phase.FAILED, False, target.reason, target.message)


def _plan_frozen(view: View, desired: Desired, target: Target) -> Plan:
    cause = f"{target.reason}: {target.message}"
    grace = desired.spec.lifecycle.stop_grace_period
    operations = []
    for seen in view.observed:
        if seen.state is InstanceState.RUNNING:
            able = view.capabilities.get(seen.runtime)
            verb = Verb.PAUSE if able and able.freeze else Verb.STOP
            operations.append(Operation(verb, view.key, seen.runtime, cause, target=seen.id, grace=grace))
    record = _frozen(view.record, operations, target) if operations else view.record
    return Plan(record, _suspended(target, at_rest=not operations), tuple(operations))


def _frozen(record: Record, operations: list[Operation], target: Target) -> Record:
    stopping = any(operation.verb is Verb.STOP for operation in operations)
    return replace(record, frozen=True, ending=Intent("stop", target.cause) if stopping else None)


def _suspended(target: Target, at_rest: bool) -> Verdict:
    if at_rest:
        return Verdict(Phase.SUSPENDED, False, target.reason, target.message, suspended=True)
    return Verdict(Phase.RUNNING, False, "Suspending", target.message)
