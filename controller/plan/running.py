"""The plan of a sandbox that is to run: create it, start it, keep its limits, bring it to Ready."""

from __future__ import annotations

from dataclasses import replace

from controller.model.identity import Owner
from controller.model.observed import InstanceState, Observed
from controller.model.operation import Operation, Verb
from controller.model.quantity import format_duration
from controller.model.record import Intent, Record
from controller.model.spec import Desired
from controller.model.status import Phase
from controller.plan.cast import RUNTIME_OF, Cast
from controller.plan.limits import update_of
from controller.plan.replacing import plan_failed, plan_replacement, plan_rollback, plan_succession
from controller.plan.view import Notice, Plan, Verdict, View

# Without probes a sandbox is Ready once its process has lived this long.
_READY_SECONDS = 1.0


def plan_running(view: View, desired: Desired, cast: Cast) -> Plan:
    """What brings it to Running and Ready, or nothing where it is."""
    record = view.record
    if record.failed_hash == desired.spec_hash:
        return plan_failed(view, desired, cast, keep_running)
    current = cast.current
    up = current is not None and current.state in (InstanceState.RUNNING, InstanceState.PAUSED)
    if view.waiting_for and not up:
        message = f"waits until Ready: {', '.join(view.waiting_for)}"
        return Plan(record, Verdict(Phase.PENDING, False, "WaitingForDependencies", message))
    if current is None:
        return plan_replacement(view, desired, cast) if cast.stale else _plan_first(view, desired, cast)
    if cast.stale and (failure := _failure_of_replacement(view, desired, current)):
        return plan_rollback(view, desired, cast, failure)
    plan = keep_running(view, desired, current)
    if cast.stale and plan.verdict.ready:
        return plan_succession(view, cast, plan)
    return plan


def keep_running(view: View, desired: Desired, seen: Observed) -> Plan:
    """The plan of one existing instance that is to run."""
    match seen.state:
        case InstanceState.CREATED:
            start = Operation(Verb.START, view.key, seen.runtime, "created and not yet started", target=seen.id)
            return Plan(view.record, _starting(), (start,), after=_in_force(view.record, seen, desired))
        case InstanceState.PAUSED:
            return _plan_thaw(view, seen)
        case InstanceState.EXITED:
            return _plan_restart(view, desired, seen)
        case _:
            return _plan_live(view, desired, seen)


def _plan_first(view: View, desired: Desired, cast: Cast) -> Plan:
    record, runtime = view.record, RUNTIME_OF[desired.spec.isolation]
    if record.restart_after > view.now:
        return _crash_loop(record)
    lost = bool(record.instance_id) and record.ending is None
    cause = f"its {desired.spec.isolation} was removed from outside" if lost else f"declared in {desired.origin}"
    owner = Owner(view.instance, view.key, record.uid, record.generation, desired.spec_hash, cast.free_slot())
    operations = (
        Operation(Verb.PREPARE, view.key, runtime, cause, desired=desired),
        Operation(
            Verb.CREATE, view.key, runtime, cause, desired=desired, owner=owner, field="instance" if lost else ""
        ),
        Operation(Verb.START, view.key, runtime, cause),
    )
    after = replace(record, runtime=runtime, applied=None, ending=None, frozen=False)
    return Plan(record, _starting(_overdue(view, desired)), operations, after=after)


def _plan_thaw(view: View, seen: Observed) -> Plan:
    cause = "no longer held" if view.record.frozen else "it was paused from outside"
    field = "" if view.record.frozen else "state"
    thaw = Operation(Verb.UNPAUSE, view.key, seen.runtime, cause, target=seen.id, field=field)
    return Plan(view.record, _starting(), (thaw,), after=replace(view.record, frozen=False))


def _plan_restart(view: View, desired: Desired, seen: Observed) -> Plan:
    record = view.record
    if record.restart_after > view.now:
        return _crash_loop(record)
    ended = record.last_termination
    by_itself = record.crash_streak > 0 and ended is not None
    policy = desired.spec.lifecycle.restart_policy
    cause = f"restartPolicy {policy} after: {ended.cause}" if by_itself and ended else "it is to run"
    start = Operation(Verb.START, view.key, seen.runtime, cause, target=seen.id)
    update = update_of(view, desired, seen, view.capabilities[seen.runtime])
    counted = record.restarts + 1 if by_itself else record.restarts
    after = replace(_in_force(record, seen, desired), restarts=counted)
    return Plan(record, _starting(), (update, start) if update else (start,), after=after)


def _plan_live(view: View, desired: Desired, seen: Observed) -> Plan:
    if view.intent is not None:
        return _plan_intent(view, desired, seen, view.intent)
    able = view.capabilities[seen.runtime]
    record = _in_force(view.record, seen, desired)
    if update := update_of(view, desired, seen, able):
        return Plan(view.record, _live_verdict(view, desired, seen), (update,), after=record)
    ready_at = _ready_at(seen)
    if view.now < ready_at:
        return Plan(record, _live_verdict(view, desired, seen), requeue_at=ready_at)
    notices = () if record.ready_once else (Notice("Ready", "the sandbox is ready"),)
    timings = record.timings if record.ready_once else replace(record.timings, ready=view.now)
    return Plan(replace(record, ready_once=True, timings=timings), _live_verdict(view, desired, seen), notices=notices)


def _plan_intent(view: View, desired: Desired, seen: Observed, intent: Intent) -> Plan:
    record = replace(view.record, ending=intent)
    verdict = _starting()
    if intent.verb == "kill":
        kill = Operation(Verb.KILL, view.key, seen.runtime, intent.cause, target=seen.id)
        return Plan(record, verdict, (kill,), consumed=True)
    grace = desired.spec.lifecycle.stop_grace_period
    stop = Operation(Verb.STOP, view.key, seen.runtime, intent.cause, target=seen.id, grace=grace)
    after = replace(record, restart_after=0.0, restarts=record.restarts + 1)
    return Plan(record, verdict, (stop,), after=after, consumed=True)


def _in_force(record: Record, seen: Observed, desired: Desired) -> Record:
    return replace(record, runtime=seen.runtime, instance_id=seen.id, applied=desired.spec.limits)


def _ready_at(seen: Observed) -> float:
    if not seen.has_process or seen.started_at is None:
        return 0.0
    return seen.started_at + _READY_SECONDS


def _live_verdict(view: View, desired: Desired, seen: Observed) -> Verdict:
    degraded = None
    if view.desired is not None and view.desired is not desired:
        degraded = ("Fallback", f"no engine: runs as a {desired.spec.isolation} sandbox until there is one")
    if view.now < _ready_at(seen):
        return Verdict(Phase.RUNNING, False, "Starting", degraded=degraded)
    return Verdict(Phase.RUNNING, True, "Running", degraded=degraded)


def _starting(overdue: str = "") -> Verdict:
    if overdue:
        return Verdict(Phase.FAILED, False, "StartupDeadlineExceeded", overdue)
    return Verdict(Phase.CREATING, False, "Starting")


def _crash_loop(record: Record) -> Plan:
    ended = record.last_termination
    cause = ended.cause if ended else "ended by itself"
    delay = format_duration(max(0.0, record.restart_after - (ended.finished_at if ended else 0.0)))
    message = f"{cause}; ended {record.crash_streak} times in a row, waits {delay}"
    return Plan(record, Verdict(Phase.CRASH_LOOP, False, "CrashLoopBackOff", message), requeue_at=record.restart_after)


def _overdue(view: View, desired: Desired) -> str:
    deadline = desired.spec.lifecycle.startup_deadline
    if view.record.ready_once or view.now - view.record.attempt_since <= deadline:
        return ""
    return f"not Ready within spec.startupDeadline ({format_duration(deadline)}); goes on trying"


def _failure_of_replacement(view: View, desired: Desired, current: Observed) -> str:
    if current.state is InstanceState.EXITED:
        ended = view.record.last_termination
        return f"the new one ended: {ended.cause if ended else 'at once'}"
    deadline = desired.spec.lifecycle.startup_deadline
    if current.state is not InstanceState.RUNNING or view.now < _ready_at(current):
        return f"the new one was not Ready within {format_duration(deadline)}" if _overdue(view, desired) else ""
    return ""
