"""What becomes of a record when a manifest is first accepted, or edited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from controller.model.hold import Hold, Release
from controller.model.identity import same_version
from controller.model.observed import Observed
from controller.model.record import Record, Timings
from controller.model.spec import Desired
from controller.plan.cast import is_made_from
from controller.plan.difference import contradicts


def accept(record: Record | None, desired: Desired, new_uid: str, now: float) -> Record:
    """The record for a desired sandbox: a new one, the same where nothing changed, or the next generation.

    An edit clears what only an edit clears: failures, a finished run, the crash loop. A restored workspace begins a new
    life as a manifest takes it up.
    """
    if record is None:
        return Record(
            uid=new_uid,
            generation=1,
            resolved_hash=desired.resolved_hash,
            accepted_at=now,
            attempt_since=now,
            document=desired.document,
            skill=desired.skill,
            origin=desired.origin,
        )
    if not _is_edit(record, desired):
        return replace(
            record,
            resolved_hash=desired.resolved_hash,
            document=desired.document,
            skill=desired.skill,
            origin=desired.origin,
            reserved=False,
        )
    return replace(
        record,
        generation=record.generation + 1,
        resolved_hash=desired.resolved_hash,
        document=desired.document,
        skill=desired.skill,
        origin=desired.origin,
        accepted_at=now if record.reserved else record.accepted_at,
        instance_id="" if record.finished else record.instance_id,
        attempt_since=now,
        ready_once=False,
        crash_streak=0,
        restart_after=0.0,
        failed_hash="",
        failure="",
        failure_reason="",
        unprepared="",
        finished="",
        reserved=False,
        erased=False,
        timings=Timings(),
    )


def identified(
    record: Record | None, observed: Sequence[Observed], desired: Desired | None, now: float
) -> Record | None:
    """The record, or what the instances say of themselves where there is none, or where it was made without them."""
    if record is not None and desired is not None and _is_unclaimed(record):
        return recover(observed, desired, now) or record
    if record is not None and not record.provisional:
        return record
    earlier = [seen for seen in observed if record is None or seen.owner.uid != record.uid]
    if desired is not None:
        return recover(earlier, desired, now) or record
    found = recover_undeclared(earlier, now)
    if found is None or record is None:
        return found or record
    return replace(found, document=record.document, origin=record.origin, skill=record.skill)


def _is_unclaimed(record: Record) -> bool:
    return not record.document and not record.reserved


def _is_edit(record: Record, desired: Desired) -> bool:
    """Whether anything was changed; where another version accepted it last, anything that both know."""
    if not record.resolved_hash or same_version(record.resolved_hash, desired.resolved_hash):
        return record.resolved_hash != desired.resolved_hash
    before = record.document
    labels = (before.get("metadata") or {}).get("labels") or {}
    return labels != desired.labels or contradicts(before.get("spec") or {}, desired.document["spec"])


def recover(observed: Sequence[Observed], desired: Desired, now: float) -> Record | None:
    """A record rebuilt from what its instances say of themselves, or None where there are none.

    Restart counts and history are lost with the store; uid and generation are not.
    """
    if not observed:
        return None
    newest = max(observed, key=lambda seen: seen.owner.generation)
    unchanged = is_made_from(newest, desired)
    return Record(
        uid=newest.owner.uid,
        generation=newest.owner.generation if unchanged else newest.owner.generation + 1,
        resolved_hash=desired.resolved_hash,
        accepted_at=newest.created_at,
        attempt_since=now,
        runtime=newest.runtime,
        instance_id=newest.id,
        document=desired.document,
        skill=desired.skill,
        origin=desired.origin,
    )


def released_by_edit(holds: Sequence[Hold], record: Record) -> tuple[Hold, ...]:
    """The holds that an edit since they were imposed ends. Generations are lost with the store, hashes are not."""
    return tuple(hold for hold in holds if hold.release is Release.EDIT_OR_RESUME and _is_edited(hold, record))


def _is_edited(hold: Hold, record: Record) -> bool:
    if hold.resolved_hash and same_version(hold.resolved_hash, record.resolved_hash):
        return hold.resolved_hash != record.resolved_hash
    return hold.generation < record.generation


def recover_undeclared(observed: Sequence[Observed], now: float) -> Record | None:
    """A record for instances of ours that neither a manifest nor the store knows, or None where there are none."""
    if not observed:
        return None
    newest = max(observed, key=lambda seen: seen.owner.generation)
    return Record(
        uid=newest.owner.uid,
        generation=newest.owner.generation,
        resolved_hash="",
        accepted_at=now,
        runtime=newest.runtime,
        instance_id=newest.id,
    )
