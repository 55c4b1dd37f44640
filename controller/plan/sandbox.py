"""The planner of one Sandbox: a view in; operations, each with its cause, and a verdict out. Pure.

One plan is one batch that is safe to run in order. After it, the loop looks again and plans anew until nothing is
left to do, so that a crash between any two operations leaves nothing to guess.
"""

from __future__ import annotations

from dataclasses import replace

from controller.model.observed import InstanceState, Observed
from controller.model.operation import Operation, Verb
from controller.model.record import Intent, Record
from controller.model.spec import Desired, Lifecycle
from controller.model.status import Phase
from controller.plan.cast import UP, Cast, adopting, cast_of
from controller.plan.exits import (
    REPLACE_FAILED,
    RESTART,
    account,
    end_text,
    failed,
    failed_to_replace,
    forgiven,
    noted,
    unaccounted,
)
from controller.plan.reach import away_of, is_away, why_away, within_reach
from controller.plan.removal import DELETE, plan_removal
from controller.plan.replacing import account_replaced, plan_running
from controller.plan.resting import plan_resting, verdict_down
from controller.plan.restoring import plan_restoring
from controller.plan.target import Goal, expires_at, target_of
from controller.plan.view import Notice, Plan, Verdict, View


def plan_sandbox(view: View) -> Plan:
    """What to do now about one sandbox."""
    if view.retained:
        message = "its manifest cannot be made out; nothing is touched until it can"
        return Plan(view.record, Verdict(Phase.RUNNING, False, "ManifestUnknown", message))
    if restoring := plan_restoring(view):
        return restoring
    if view.desired is None:
        return plan_removal(view)
    if view.intent is not None and view.intent.verb == DELETE:
        # It was declared again meanwhile.
        return replace(plan_sandbox(replace(view, intent=None)), consumed=True)
    desired = within_reach(view, view.desired)
    view = replace(view, record=_without_gone_predecessor(view))
    return _in_context(view, desired, _plan_within_reach(view, desired))


def plan_ahead(view: View) -> Plan:
    """The next plan that has operations or is at rest: what a dry run shows, without the accounting before it."""
    plan = plan_sandbox(view)
    while not plan.operations and plan.requeue_at is not None and plan.requeue_at <= view.now:
        view = replace(view, record=plan.record, intent=None if plan.consumed else view.intent)
        plan = plan_sandbox(view)
    return plan


def _plan_within_reach(view: View, desired: Desired) -> Plan:
    cast = cast_of(view, desired)
    view = replace(view, record=adopting(view.record, cast.current, desired))
    if away := away_of(view, desired, has_current=cast.current is not None):
        return _plan_waiting_for_engine(view, desired, away)
    return _plan_declared(view, desired)


def _plan_declared(view: View, desired: Desired) -> Plan:
    cast = cast_of(view, desired)
    if ended := _ended(view.record, cast):
        return _plan_accounting(view, desired, cast, ended)
    if view.intent is not None:
        return _plan_with_intent(view, desired, cast)
    target = target_of(view, desired.spec.lifecycle)
    if target.goal is Goal.RUN:
        return plan_running(view, desired, cast)
    return plan_resting(view, desired, cast, target)


def _ended(record: Record, cast: Cast) -> Observed | None:
    """An instance whose end is to be accounted for, one at a time."""
    quieted = record.replacing.predecessor if record.replacing else ""
    relics = [seen for seen in cast.others[:1] if seen.id != quieted]
    candidates = (cast.acting, *(relics if cast.acting is None else ()))
    return next((seen for seen in candidates if seen is not None and unaccounted(record, seen)), None)


def _plan_accounting(view: View, desired: Desired, cast: Cast, ended: Observed) -> Plan:
    """The record after an end, and the verdict that follows from it; the next pass acts on it."""
    notices: tuple[Notice, ...] = ()
    record = account(view.record, ended, desired.spec, view.now)
    if ended is cast.current and record.failed_hash == ended.owner.spec_hash:
        record = replace(record, failed_hash=desired.spec_hash)
    if ended is cast.stand_in or ended is not cast.acting:
        record = account_replaced(view, desired, ended, counts=ended is cast.stand_in)
    elif cast.failed and record.failed_hash != desired.spec_hash:
        # What it fell back to can never run again either; the spec that failed stays the one to be edited.
        known = view.record
        record = failed(record, desired.spec_hash, known.failure_reason, known.failure)
        record = replace(record, finished="Failed")
    elif ended is cast.current and cast.predecessor and failed_to_replace(view.record, ended, desired.spec):
        failure = f"the new one ended: {record.failure or end_text(record)}"
        record = failed(noted(view.record, ended), desired.spec_hash, REPLACE_FAILED, failure)
        notices = (Notice(REPLACE_FAILED, failure, warning=True),)
    following = _plan_declared(replace(view, record=record), desired)
    return Plan(record, following.verdict, requeue_at=view.now, ended=ended, notices=notices)


def _plan_with_intent(view: View, desired: Desired, cast: Cast) -> Plan:
    """Carry out what was asked for. Nothing runs that could be killed or stopped: a restart ends every wait instead.

    One that is to be replaced is restarted by its replacement, but where that was tried in vain.
    """
    intent, acting = view.intent, cast.acting
    is_up = acting is not None and acting.state in UP
    is_over = intent is not None and intent.run and (acting is None or intent.run != acting.run)
    if is_over:
        # The run that it was meant for has ended meanwhile.
        return replace(_plan_declared(replace(view, intent=None), desired), consumed=True)
    is_tried = cast.current is not None or view.record.unprepared == desired.spec_hash
    if intent is not None and intent.verb == RESTART and (cast.failed or not is_up or not is_tried):
        view = replace(view, record=forgiven(view.record), intent=None)
        plan = _plan_declared(view, desired)
        asked = tuple(_because(operation, intent) for operation in plan.operations)
        return replace(plan, operations=asked, consumed=True)
    target = target_of(view, desired.spec.lifecycle)
    if target.goal is not Goal.RUN:
        return replace(plan_resting(view, desired, cast, target), consumed=True)
    view = view if is_up else replace(view, intent=None)
    return replace(plan_running(view, desired, cast), consumed=True)


def _because(operation: Operation, intent: Intent) -> Operation:
    return replace(operation, cause=intent.cause) if operation.verb is Verb.START else operation


def _without_gone_predecessor(view: View) -> Record:
    """The record without a replacement whose predecessor is certainly gone."""
    replacing = view.record.replacing
    if replacing is None or is_away(view, replacing.runtime):
        return view.record
    if any(seen.id == replacing.predecessor and seen.state is not InstanceState.REMOVING for seen in view.observed):
        return view.record
    return replace(view.record, replacing=None)


def _plan_waiting_for_engine(view: View, desired: Desired, away: str) -> Plan:
    reason, message = why_away(view, away)
    record = view.record
    if record.finished:
        verdict = verdict_down(target_of(view, desired.spec.lifecycle), at_rest=True)
        return Plan(record, replace(verdict, degraded=(reason, message)))
    phase = Phase.RUNNING if record.ready_once else Phase.PENDING
    return Plan(record, Verdict(phase, False, reason, message, degraded=(reason, message)))


def _in_context(view: View, desired: Desired, plan: Plan) -> Plan:
    """The plan with what holds whatever it does: a fallback, a cycle, an expiry to come."""
    if desired is not view.desired:
        plan = _degraded_by_fallback(plan, desired)
    if view.cycle:
        refusal = ("DependencyCycle", f"{view.cycle}; remove one of these dependsOn")
        plan = replace(plan, verdict=replace(plan.verdict, accepted=refusal))
    plan = _with_expiry(view, desired.spec.lifecycle, plan)
    return replace(plan, meanwhile=plan.meanwhile and _in_context(view, desired, plan.meanwhile))


def _degraded_by_fallback(plan: Plan, desired: Desired) -> Plan:
    if plan.verdict.degraded or plan.verdict.phase is not Phase.RUNNING:
        return plan
    message = f"no engine: runs as a {desired.spec.isolation} sandbox until there is one"
    return replace(plan, verdict=replace(plan.verdict, degraded=("Fallback", message)))


def _with_expiry(view: View, lifecycle: Lifecycle, plan: Plan) -> Plan:
    end = expires_at(lifecycle, view.record)
    if end is None or end <= view.now:
        return plan
    return replace(plan, requeue_at=end if plan.requeue_at is None else min(end, plan.requeue_at))
