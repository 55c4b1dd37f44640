"""What an operation's failure means for a record: tried again, rolled back, or waiting for an edit."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from controller.model.errors import (
    CannotRunError,
    ConflictError,
    EngineTimeoutError,
    EngineUnavailableError,
    InstanceNotFoundError,
    PreparingError,
    ResizePendingError,
    RuntimeFailure,
    SandkeeperError,
)
from controller.model.observed import InstanceState, Observed
from controller.model.operation import Verb
from controller.model.record import Record
from controller.model.spec import Desired
from controller.plan.cast import cast_of
from controller.plan.exits import REPLACE_FAILED, failed
from controller.plan.limits import without_lowered
from controller.plan.reach import within_reach
from controller.plan.restoring import given_up
from controller.plan.view import View

_TRIED_AGAIN: Final = (ConflictError, EngineTimeoutError, InstanceNotFoundError)


def after_failure(view: View, error: SandkeeperError) -> Record:
    """The record after an operation failed. Unchanged where it is simply tried again with backoff.

    `view` is what the failed plan was made from, with the record saved before its operations.
    """
    if error.operation == Verb.RESTORE:
        return given_up(view.record)
    return _after_failure_to_run(view, error)


def _after_failure_to_run(view: View, error: SandkeeperError) -> Record:
    record = view.record
    if view.desired is None or not isinstance(error, RuntimeFailure) or isinstance(error, EngineUnavailableError):
        return record
    desired = within_reach(view, view.desired)
    if record.failed_hash == desired.spec_hash:
        return record
    if record.unprepared == desired.spec_hash and error.operation != Verb.PREPARE:
        # One that stands in could not be helped: its replacement's turn.
        return replace(record, unprepared="")
    if error.operation == Verb.PREPARE and not _is_merely_awaited(view, error):
        record = replace(record, unprepared=desired.spec_hash)
    return _with_failure(view, record, desired, error)


def _with_failure(view: View, record: Record, desired: Desired, error: RuntimeFailure) -> Record:
    cast = cast_of(view, desired)
    predecessor = cast.predecessor
    if isinstance(error, ResizePendingError) and cast.current and predecessor is None:
        return without_lowered(view, desired, cast.current)
    if predecessor and (_is_final(error) or _is_late(view, desired, predecessor)):
        return failed(record, desired.spec_hash, REPLACE_FAILED, str(error))
    if isinstance(error, CannotRunError):
        return failed(record, desired.spec_hash, error.reason, str(error))
    return record


def _is_merely_awaited(view: View, error: RuntimeFailure) -> bool:
    """True where a preparation is under way and nothing runs that would want looking after meanwhile."""
    runs = any(seen.state is InstanceState.RUNNING for seen in view.observed)
    return isinstance(error, PreparingError) and not runs


def _is_final(error: RuntimeFailure) -> bool:
    """True where a new one could not be made or started by its own fault."""
    making = error.operation in (Verb.CREATE, Verb.START) and not isinstance(error, _TRIED_AGAIN)
    return making or isinstance(error, CannotRunError)


def _is_late(view: View, desired: Desired, predecessor: Observed) -> bool:
    """True where the old one has made room for longer than the new one may take to become Ready."""
    if view.record.replacing is None or predecessor.state is InstanceState.RUNNING:
        return False
    return view.now - view.record.replacing.since > desired.spec.lifecycle.startup_deadline
