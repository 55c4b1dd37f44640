"""Replacing an instance by one made from another spec, in either isolation.

The old one is frozen (or stopped, where it holds a port that the new one needs), the new one starts on the same
workspace and must become Ready; then the old one is removed. Where that fails the new one is removed and the old one
goes on as it was. There are never two unfrozen instances of one sandbox.
"""

from __future__ import annotations

from dataclasses import replace

from controller.model.observed import InstanceState, Observed
from controller.model.record import Record
from controller.model.spec import Desired
from controller.model.status import Phase
from controller.plan.cast import UP, Cast
from controller.plan.crashloop import is_waiting
from controller.plan.creation import plan_creation, quieting, removals_of, replacement_of
from controller.plan.exits import KILL, REPLACE_FAILED, account, forgiven, noted, unfinished, was_ready
from controller.plan.running import crash_loop, keep_running
from controller.plan.view import Plan, Verdict, View


def plan_running(view: View, desired: Desired, cast: Cast) -> Plan:
    """What brings a sandbox to Running and Ready, or nothing where it is."""
    if cast.failed and (cast.predecessor or view.record.failure_reason != REPLACE_FAILED):
        return _plan_failed(view, desired, cast)
    if cast.failed:
        # What it should have replaced is gone as well: nothing is lost by another attempt.
        view = replace(view, record=forgiven(view.record))
    waiting = _plan_waiting(view, cast)
    upkeep = _plan_stand_in(view, desired, cast, waits=waiting is not None)
    if upkeep is not None and upkeep.operations:
        return upkeep
    view = replace(view, record=upkeep.record) if upkeep else view
    if waiting is not None:
        return replace(waiting, record=view.record)
    if cast.current is not None:
        return _plan_succession(view, desired, cast, cast.current)
    if not cast.others and is_waiting(view.record.restart_after, view.now):
        return crash_loop(view.record)
    return plan_creation(view, desired, cast, upkeep)


def _plan_stand_in(view: View, desired: Desired, cast: Cast, waits: bool) -> Plan | None:
    """What keeps an old one as it was where its replacement waits or could not be prepared; else None.

    Enforcement kills it in any case. Of readiness this generation has none of its own yet.
    """
    old, intent = cast.stand_in, view.intent or unfinished(view.record.ending)
    if old is None:
        return None
    is_killed = intent is not None and intent.verb == KILL and old.state in UP
    goes_on = old.state is InstanceState.RUNNING if waits else view.record.unprepared == desired.spec_hash
    if not (goes_on or is_killed):
        return None
    plan = keep_running(view, _as_it_was(view, desired, old), old)
    record, after = (_not_its_own(each, view.record) for each in (plan.record, plan.after or plan.record))
    return replace(plan, record=record, after=after, notices=())


def account_replaced(view: View, desired: Desired, ended: Observed, counts: bool) -> Record:
    """The record after the end of one that is to be replaced: it ends nothing, and `counts` only where it stood in."""
    record = account(view.record, ended, desired.spec, view.now)
    if record.finished or record.failed_hash != view.record.failed_hash:
        return replace(noted(view.record, ended), instance_id="")
    return record if counts else noted(view.record, ended)


def _not_its_own(record: Record, before: Record) -> Record:
    return replace(record, ready_once=before.ready_once, timings=before.timings)


def _plan_waiting(view: View, cast: Cast) -> Plan | None:
    """Nothing is started before its dependencies are Ready; what was begun is brought to its end."""
    if not view.waiting_for and not view.cycle:
        return None
    old = cast.predecessor
    if (cast.current and cast.current.state in UP) or (old and old.state is not InstanceState.RUNNING):
        return None
    phase = Phase.RUNNING if old else Phase.PENDING
    if view.cycle:
        return Plan(view.record, Verdict(phase, False, "DependencyCycle", view.cycle))
    message = f"waits until Ready: {', '.join(view.waiting_for)}"
    return Plan(view.record, Verdict(phase, False, "WaitingForDependencies", message))


def _plan_succession(view: View, desired: Desired, cast: Cast, current: Observed) -> Plan:
    """Bring the new one to Ready beside a quieted predecessor, then remove that."""
    plan = keep_running(view, desired, current)
    if not cast.others:
        return plan
    surplus = tuple(removals_of(view, cast.surplus, "an instance too many"))
    old = cast.predecessor
    if old is None:
        return replace(plan, operations=(*surplus, *plan.operations))
    if plan.verdict.ready or was_ready(current):
        removal = removals_of(view, (old,), "its replacement is Ready")
        return replace(plan, operations=(*surplus, *removal, *plan.operations))
    quiet = quieting(view, desired, cast, "its replacement is under way")
    before = replace(view.record, replacing=replacement_of(view, old))
    return replace(
        plan,
        record=_unproven(plan.record, before),
        after=plan.after and _unproven(plan.after, before),
        operations=(*surplus, *quiet, *plan.operations),
    )


def _unproven(record: Record, before: Record) -> Record:
    """What was in force on the old one is remembered until it is certain that it will not go on."""
    return replace(record, replacing=before.replacing, applied=before.applied, throttled_to=before.throttled_to)


def _plan_failed(view: View, desired: Desired, cast: Cast) -> Plan:
    """A spec that failed waits for an edit; its predecessor goes on where there is one, once the new one is gone."""
    record, old = view.record, cast.predecessor
    if old is None:
        removal = tuple(removals_of(view, cast.surplus, record.failure))
        return Plan(record, Verdict(Phase.FAILED, False, record.failure_reason, record.failure), removal)
    doomed = (*((cast.current,) if cast.current else ()), *cast.surplus)
    if doomed:
        verdict = Verdict(Phase.CREATING, False, REPLACE_FAILED, record.failure)
        return Plan(record, verdict, tuple(removals_of(view, doomed, record.failure)))
    plan = keep_running(view, _as_it_was(view, desired, old), old)
    message = f"{record.failure}; the previous version goes on until the manifest is edited"
    return replace(plan, verdict=replace(plan.verdict, degraded=(REPLACE_FAILED, message)))


def _as_it_was(view: View, desired: Desired, seen: Observed) -> Desired:
    """The predecessor's own wishes: its limits stay as they were."""
    before = view.record.applied or seen.limits
    limits = replace(desired.spec.limits, memory=before.memory, cpu=before.cpu, pids=before.pids)
    return replace(desired, spec=replace(desired.spec, limits=limits), spec_hash=seen.owner.spec_hash)
