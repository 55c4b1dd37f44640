"""The plan of one instance that is to run: start it, thaw it, keep its limits, bring it to Ready."""

from __future__ import annotations

from dataclasses import replace

from controller.model.observed import InstanceState, Observed
from controller.model.operation import Operation, Verb
from controller.model.quantity import format_duration
from controller.model.record import Intent, Record
from controller.model.spec import Desired
from controller.model.status import Phase
from controller.plan.cast import UP
from controller.plan.crashloop import is_waiting
from controller.plan.exits import ENGINE_RESTARTED, KILL, READY_SECONDS, carried_out, end_text, unfinished
from controller.plan.limits import in_force, updates_of
from controller.plan.view import Notice, Plan, Verdict, View


def keep_running(view: View, desired: Desired, seen: Observed) -> Plan:
    """What brings one existing instance to Running and Ready, or nothing where it is."""
    intent = view.intent or unfinished(view.record.ending)
    if intent is not None and seen.state in UP:
        return _plan_intent(view, desired, seen, intent)
    match seen.state:
        case InstanceState.CREATED:
            return _plan_start(view, desired, seen, "created and not yet started")
        case InstanceState.PAUSED:
            return _plan_thaw(view, desired, seen)
        case InstanceState.EXITED:
            return _plan_restart(view, desired, seen)
        case _:
            return _plan_live(view, desired, seen)


def ready_at(seen: Observed, now: float) -> float:
    """When a running instance is Ready (epoch seconds). One begun in the future has run since before the clock was set
    back."""
    if not seen.has_process or seen.started_at is None or seen.started_at > now + READY_SECONDS:
        return 0.0
    return seen.started_at + READY_SECONDS


def starting(view: View, desired: Desired) -> Verdict:
    """The verdict of a sandbox on its way: Failed, though it is tried on, once its deadline has passed."""
    deadline = desired.spec.lifecycle.startup_deadline
    if view.record.ready_once or view.now - view.record.attempt_since <= deadline:
        return Verdict(Phase.CREATING, False, "Starting")
    message = f"not Ready within spec.startupDeadline ({format_duration(deadline)}); goes on trying"
    return Verdict(Phase.FAILED, False, "StartupDeadlineExceeded", message)


def crash_loop(record: Record) -> Plan:
    """The plan that waits for the next restart."""
    ended = record.last_termination
    delay = format_duration(max(0.0, record.restart_after - (ended.finished_at if ended else 0.0)))
    message = f"{end_text(record)}; ended {record.crash_streak} times in a row, waits {delay}"
    return Plan(record, Verdict(Phase.CRASH_LOOP, False, "CrashLoopBackOff", message), requeue_at=record.restart_after)


def _plan_start(view: View, desired: Desired, seen: Observed, cause: str) -> Plan:
    start = Operation(Verb.START, view.key, seen.runtime, cause, target=seen.id)
    record = replace(view.record, ending=None, frozen=False)
    after = replace(_going_on(record, seen), instance_id=seen.id)
    return Plan(record, starting(view, desired), (start,), after=after)


def _plan_thaw(view: View, desired: Desired, seen: Observed) -> Plan:
    ours = _why_it_goes_on(view.record, seen) or ("no longer held" if view.record.frozen else "")
    cause, drifted = (ours, ()) if ours else ("it was paused from outside", ("state",))
    thaw = Operation(Verb.UNPAUSE, view.key, seen.runtime, cause, target=seen.id, drifted=drifted)
    after = replace(_going_on(view.record, seen), instance_id=seen.id, frozen=False)
    return Plan(view.record, starting(view, desired), (thaw,), after=after)


def _plan_restart(view: View, desired: Desired, seen: Observed) -> Plan:
    record = view.record
    if is_waiting(record.restart_after, view.now):
        return crash_loop(record)
    ended, policy = record.last_termination, desired.spec.lifecycle.restart_policy
    if why := _why_it_goes_on(record, seen):
        cause = why
    elif ended is not None and ended.cause == ENGINE_RESTARTED:
        cause = "the engine was restarted"
    elif ended is not None and record.crash_streak > 0:
        cause = f"restartPolicy {policy} after: {ended.cause}"
    else:
        cause = "it is to run"
    plan = _plan_start(view, desired, seen, cause)
    updates = updates_of(view, desired, seen, view.capabilities[seen.runtime])
    if not updates:
        return plan
    after = in_force(view, plan.after or plan.record, desired)
    return replace(plan, operations=(*updates, *plan.operations), after=after)


def _plan_live(view: View, desired: Desired, seen: Observed) -> Plan:
    going = replace(_going_on(view.record, seen), runtime=seen.runtime, instance_id=seen.id, ending=None, frozen=False)
    ready = ready_at(seen, view.now)
    is_ready = view.now >= ready
    record = _ready(going, view.now) if is_ready else going
    notices = (Notice("Ready", "the sandbox is ready"),) if is_ready and not going.ready_once else ()
    verdict = Verdict(Phase.RUNNING, is_ready, "Running" if is_ready else "Starting")
    requeue_at = None if is_ready else ready
    settled = in_force(view, record, desired)
    if updates := updates_of(view, desired, seen, view.capabilities[seen.runtime]):
        return Plan(record, verdict, updates, after=settled, requeue_at=requeue_at, notices=notices)
    return Plan(settled, verdict, requeue_at=requeue_at, notices=notices)


def _ready(record: Record, now: float) -> Record:
    if record.ready_once:
        return record
    return replace(record, ready_once=True, timings=replace(record.timings, ready=now))


def _plan_intent(view: View, desired: Desired, seen: Observed, intent: Intent) -> Plan:
    record = replace(view.record, ending=intent)
    if intent.verb == KILL:
        operation = Operation(Verb.KILL, view.key, seen.runtime, intent.cause, target=seen.id)
    else:
        grace = desired.spec.lifecycle.stop_grace_period
        operation = Operation(Verb.STOP, view.key, seen.runtime, intent.cause, target=seen.id, grace=grace)
    verdict = Verdict(Phase.RUNNING, False, "Killing" if intent.verb == KILL else "Restarting", intent.cause)
    return Plan(record, verdict, (operation,), after=replace(record, ending=carried_out(intent)))


def _going_on(record: Record, seen: Observed) -> Record:
    """The record where this instance is no longer one that makes room."""
    quieted = record.replacing is not None and record.replacing.predecessor == seen.id
    return replace(record, replacing=None) if quieted else record


def _why_it_goes_on(record: Record, seen: Observed) -> str:
    """Why an instance that had made room runs again; empty where it had not."""
    if record.replacing is None or record.replacing.predecessor != seen.id:
        return ""
    return f"its replacement failed: {record.failure}" if record.failure else "its replacement was called off"
