"""Bringing a workspace back from the trash: under a sandbox that has an empty one, or until a manifest declares it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from controller.model.operation import Operation, Verb
from controller.model.record import Intent, Record
from controller.model.status import Phase
from controller.plan.removal import is_asked_for
from controller.plan.view import Plan, Verdict, View

RESTORE: Final = "restore"


def reserved_by(intent: Intent | None, now: float) -> Record | None:
    """The record of a key of which nothing is known but that its workspace is asked back."""
    if intent is None or intent.verb != RESTORE:
        return None
    return Record(
        uid=intent.uid,
        generation=0,
        resolved_hash="",
        accepted_at=now,
        document=intent.document,
        reserved=True,
        restoring="",
    )


def plan_restoring(view: View) -> Plan | None:
    """Take the former uid, then bring its workspace back; an instance on another one is stale by that.

    None where nothing is to be restored.
    """
    record = _asked_back(view)
    if record is None:
        return None
    cause = f"its workspace {record.uid} was asked back"
    restore = Operation(
        Verb.RESTORE, view.key, record.runtime, cause, uid=record.uid, instead_of=record.restoring or ""
    )
    verdict = Verdict(Phase.PENDING if record.reserved else Phase.CREATING, False, "Restoring", cause)
    return Plan(record, verdict, (restore,), after=replace(record, restoring=None), consumed=True)


def given_up(record: Record) -> Record:
    """The record after a workspace could not be restored: on its own again, or reserved for another attempt."""
    if record.reserved or record.restoring is None:
        return record
    return replace(record, uid=record.restoring or record.uid, restoring=None)


def _asked_back(view: View) -> Record | None:
    record, intent = view.record, view.intent
    if record.restoring is not None:
        return None if view.desired is None and is_asked_for(view) else record
    if view.desired is None or intent is None or intent.verb != RESTORE:
        return None
    return replace(record, uid=intent.uid, restoring="" if intent.uid == record.uid else record.uid, provisional=False)
