"""The planner of one Sandbox: a view in; operations, each with its cause, and a verdict out. Pure.

One plan is one batch that is safe to run in order. After it, the loop looks again and plans anew until nothing is
left to do, so that a crash between any two operations leaves nothing to guess.
"""

from __future__ import annotations

from dataclasses import replace

from controller.model.observed import InstanceState
from controller.model.operation import Operation, Verb
from controller.model.record import Intent
from controller.model.spec import Desired, Lifecycle
from controller.model.status import Phase
from controller.plan.cast import RUNTIME_OF, UP, Cast, cast_of
from controller.plan.exits import account, unaccounted
from controller.plan.removal import plan_removal, removals
from controller.plan.running import plan_running
from controller.plan.target import Goal, Target, expires_at, target_of
from controller.plan.view import Plan, Verdict, View


def plan_sandbox(view: View) -> Plan:
    """What to do now about one sandbox."""
    if view.retained:
        message = "the state store was lost and its manifest cannot be read; nothing is touched until it can"
        return Plan(view.record, Verdict(Phase.RUNNING, False, "ManifestUnknown", message))
    if view.desired is None:
        return plan_removal(view)
    if view.cycle:
        refusal = ("DependencyCycle", f"{view.cycle}; remove one of these dependsOn")
        return Plan(view.record, Verdict(Phase.PENDING, False, *refusal, accepted=refusal))
    desired = _within_reach(view, view.desired)
    if waiting := _waiting_for_engine(view, desired):
        return waiting
    return _with_expiry(view, desired.spec.lifecycle, _plan_declared(view, desired))


def _plan_declared(view: View, desired: Desired) -> Plan:
    cast = cast_of(view, desired)
    acting = cast.current or cast.predecessor
    if acting and unaccounted(view.record, acting):
        record = account(view.record, acting, desired.spec, view.now)
        return Plan(record, Verdict(Phase.PENDING, False, "Ended"), requeue_at=view.now, ended=acting)
    if view.intent is not None and (acting is None or acting.state not in UP):
        return _plan_intent_at_rest(view, view.intent)
    target = target_of(view, desired.spec.lifecycle)
    match target.goal:
        case Goal.GONE:
            return _plan_gone(view, desired, target)
        case Goal.DOWN:
            return _plan_down(view, desired, cast, target)
        case Goal.FROZEN:
            return _plan_frozen(view, desired, cast, target)
        case Goal.RUN:
            return plan_running(view, desired, cast)


def _plan_intent_at_rest(view: View, intent: Intent) -> Plan:
    """Nothing runs that could be killed or stopped: a restart asked for ends every wait instead."""
    if intent.verb != "restart":
        return Plan(view.record, Verdict(Phase.PENDING, False, "Ended"), requeue_at=view.now, consumed=True)
    record = replace(view.record, finished="", failed_hash="", failure="", failure_reason="", restart_after=0.0)
    verdict = Verdict(Phase.CREATING, False, "Restarting", intent.cause)
    return Plan(record, verdict, requeue_at=view.now, consumed=True)


def _within_reach(view: View, desired: Desired) -> Desired:
    """The desired sandbox, or its fallback where its engine is away and no container of it can be alive."""
    runtime = RUNTIME_OF[desired.spec.isolation]
    if desired.fallback is None or view.record.runtime == runtime or not _is_away(view, runtime):
        return desired
    return desired.fallback


def _is_away(view: View, runtime: str) -> bool:
    able = view.capabilities.get(runtime)
    return able is None or not able.available or runtime in view.unseen


def _waiting_for_engine(view: View, desired: Desired) -> Plan | None:
    """A plan that waits, where the engine is away that is needed or that may still run the last instance."""
    needed = {RUNTIME_OF[desired.spec.isolation], view.record.runtime} - {""}
    away = sorted(runtime for runtime in needed if _is_away(view, runtime))
    if not away:
        return None
    able = view.capabilities.get(away[0])
    reason = (able.reason if able else "") or "EngineDown"
    message = (able.message if able else "") or f"the {away[0]} runtime does not answer"
    phase = Phase.RUNNING if view.record.ready_once else Phase.PENDING
    return Plan(view.record, Verdict(phase, False, reason, message, degraded=(reason, message)))


def _with_expiry(view: View, lifecycle: Lifecycle, plan: Plan) -> Plan:
    end = expires_at(lifecycle, view.record)
    if end is None or end <= view.now:
        return plan
    return replace(plan, requeue_at=end if plan.requeue_at is None else min(end, plan.requeue_at))


def _plan_gone(view: View, desired: Desired, target: Target) -> Plan:
    grace = desired.spec.lifecycle.stop_grace_period
    cause = f"{target.reason}: {target.message}"
    operations = removals(view, grace, cause)
    erase = target.erase and not view.record.erased
    if erase:
        runtime = RUNTIME_OF[desired.spec.isolation]
        operations = (*operations, Operation(Verb.ERASE, view.key, runtime, cause, uid=view.record.uid))
    record = replace(view.record, ending=Intent("remove", cause)) if operations else view.record
    phase = Phase.SUCCEEDED if target.finished else Phase.SUSPENDED
    finished = target.reason if target.finished else ""
    return Plan(
        record,
        Verdict(phase, False, target.reason, target.message, finished=finished),
        operations,
        after=replace(record, ending=None, runtime="", instance_id="", erased=record.erased or erase),
    )


def _plan_down(view: View, desired: Desired, cast: Cast, target: Target) -> Plan:
    cause = f"{target.reason}: {target.message}"
    grace = desired.spec.lifecycle.stop_grace_period
    instances = (*((cast.current,) if cast.current else ()), *cast.stale)
    operations = [
        Operation(Verb.STOP, view.key, seen.runtime, cause, target=seen.id, grace=grace)
        for seen in instances
        if seen.state in UP and (seen.has_process or not target.finished)
    ]
    if target.finished and cast.current:
        operations += [
            Operation(Verb.REMOVE, view.key, seen.runtime, "its replacement has ended", target=seen.id)
            for seen in cast.stale
        ]
    record = replace(view.record, ending=Intent("stop", cause)) if operations else view.record
    return Plan(record, _verdict_down(target), tuple(operations))


def _verdict_down(target: Target) -> Verdict:
    if target.finished:
        phase = Phase.SUCCEEDED if target.reason == "Succeeded" else Phase.FAILED
        return Verdict(phase, False, target.reason, target.message, finished=target.reason)
    if target.reason == "Suspended":
        return Verdict(Phase.SUSPENDED, False, target.reason, target.message, suspended=True)
    return Verdict(Phase.FAILED, False, target.reason, target.message)


def _plan_frozen(view: View, desired: Desired, cast: Cast, target: Target) -> Plan:
    grace = desired.spec.lifecycle.stop_grace_period
    operations = []
    for seen in (*((cast.current,) if cast.current else ()), *cast.stale):
        if seen.state is not InstanceState.RUNNING:
            continue
        able = view.capabilities.get(seen.runtime)
        verb = Verb.PAUSE if able and able.freeze else Verb.STOP
        operations.append(
            Operation(verb, view.key, seen.runtime, f"{target.reason}: {target.message}", target=seen.id, grace=grace)
        )
    stopping = any(operation.verb is Verb.STOP for operation in operations)
    ending = Intent("stop", target.reason) if stopping else view.record.ending
    record = replace(view.record, frozen=True, ending=ending) if operations else view.record
    verdict = Verdict(Phase.SUSPENDED, False, target.reason, target.message, suspended=True)
    return Plan(record, verdict, tuple(operations))
