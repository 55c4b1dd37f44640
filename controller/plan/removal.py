"""The plan of a sandbox that no file declares any more."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from controller.model.observed import InstanceState
from controller.model.operation import Operation, Verb
from controller.model.quantity import format_duration, parse_duration
from controller.model.record import Intent
from controller.model.status import Phase
from controller.plan.cast import UP
from controller.plan.reach import is_away, may_hold, why_away
from controller.plan.view import Plan, Verdict, View

DELETE: Final = "delete"
_REMOVE: Final = "remove"
_DEFAULT_GRACE: Final = 10.0


def plan_removal(view: View) -> Plan:
    """Stop and remove every instance, move the workspace to the trash, forget. Dependents go first."""
    record = view.record
    if record.reserved and not is_asked_for(view):
        return Plan(record, Verdict(Phase.PENDING, False, "Restored", "its workspace waits for a manifest"))
    cause = f"no manifest declares it any more (was {record.origin})" if record.origin else "no manifest declares it"
    if not record.document and not is_asked_for(view):
        due = orphaned_at(view)
        if due is None or view.now < due:
            return _plan_unclaimed(view)
        known = format_duration(float(int(view.now - record.accepted_at)))
        cause = f"no manifest has declared it for {known}: cleanup.orphans-after"
    if view.dependents:
        message = f"waits for its dependents to go: {', '.join(view.dependents)}"
        return Plan(record, Verdict(Phase.TERMINATING, False, "WaitingForDependents", message))
    if away := min((runtime for runtime in may_hold(record) if is_away(view, runtime)), default=""):
        reason, why = why_away(view, away)
        message = f"{why}; it is removed as soon as the {away} runtime answers"
        return Plan(record, Verdict(Phase.TERMINATING, False, reason, message, degraded=(reason, message)))
    operations = (
        *removals(view, _grace_of(view), cause),
        Operation(Verb.TRASH, view.key, record.runtime, cause, uid=record.uid),
    )
    return Plan(
        replace(record, ending=Intent(_REMOVE, cause), reserved=False),
        Verdict(Phase.TERMINATING, False, "Removed", cause),
        operations,
        forget=True,
    )


def is_asked_for(view: View) -> bool:
    """Somebody asks for its removal, or has asked and it was not finished."""
    begun = view.record.ending
    return (view.intent is not None and view.intent.verb == DELETE) or (begun is not None and begun.verb == _REMOVE)


def removals(view: View, grace: float, cause: str) -> tuple[Operation, ...]:
    """Stop what is up, then remove every instance."""
    operations = []
    for seen in view.observed:
        if seen.state in UP and seen.has_process:
            operations.append(Operation(Verb.STOP, view.key, seen.runtime, cause, target=seen.id, grace=grace))
        if seen.state is not InstanceState.REMOVING:
            operations.append(Operation(Verb.REMOVE, view.key, seen.runtime, cause, target=seen.id))
    return tuple(operations)


def _plan_unclaimed(view: View) -> Plan:
    """One whose manifest was never known is no removed one: its file may be broken, or its folder not there yet."""
    message = (
        "the state store was lost and no manifest declares it; nothing is touched until one does, "
        f"or until `sandkeeper delete {view.key.name}`"
    )
    verdict = Verdict(Phase.RUNNING, False, "ManifestUnknown", message)
    return Plan(view.record, verdict, requeue_at=orphaned_at(view))


def orphaned_at(view: View) -> float | None:
    """When one that nobody knows is removed by itself; None: never."""
    after = view.cleanup.orphans_after
    return None if after is None else view.record.accepted_at + after


def _grace_of(view: View) -> float:
    spec = view.record.document.get("spec") or {}
    grace = spec.get("stopGracePeriod")
    return _DEFAULT_GRACE if grace is None else parse_duration(grace)
