"""What an operation's failure means for a record: tried again, rolled back, or waiting for an edit."""

from __future__ import annotations

from controller.model.errors import (
    CannotRunError,
    DiskFullError,
    EngineTimeoutError,
    EngineUnavailableError,
    ImageUnavailableError,
    SandkeeperError,
)
from controller.model.observed import InstanceState
from controller.model.record import Record
from controller.plan.exits import failed
from controller.plan.view import View

_TRIED_AGAIN = (EngineUnavailableError, EngineTimeoutError, DiskFullError, ImageUnavailableError)


def after_failure(view: View, error: SandkeeperError) -> Record:
    """The record after an operation failed. Unchanged where it is simply tried again with backoff."""
    record, desired = view.record, view.desired
    if desired is None:
        return record
    if _is_replacing(view, desired.spec_hash) and not isinstance(error, _TRIED_AGAIN):
        return failed(record, desired.spec_hash, "ReplaceFailed", str(error))
    if isinstance(error, CannotRunError):
        return failed(record, desired.spec_hash, error.reason, str(error))
    return record


def _is_replacing(view: View, spec_hash: str) -> bool:
    """True where what was observed before the failure has to make room for what is wanted."""
    return any(seen.owner.spec_hash != spec_hash and seen.state is not InstanceState.REMOVING for seen in view.observed)
