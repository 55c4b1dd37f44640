"""Which failures of an operation are tried again, and which end a replacement or wait for an edit."""

from __future__ import annotations

import pytest

from controller.model.errors import (
    CannotRunError,
    ConflictError,
    DiskFullError,
    EngineTimeoutError,
    EngineUnavailableError,
    ImageUnavailableError,
    ResizePendingError,
    RuntimeFailure,
    StateError,
)
from controller.model.observed import InstanceState
from controller.model.operation import Verb
from controller.model.record import Replacement
from controller.plan.failure import after_failure
from tests.plan.support import NOW, Given, desired, given, instance


def under_way() -> Given:
    """The old container is frozen, the new one created and not yet started."""
    old = instance(desired(image="a"), InstanceState.PAUSED)
    new = instance(desired(image="b"), InstanceState.CREATED, slot="b", ran=0)
    replacing = Replacement("docker-a", "docker", NOW - 1)
    return given().desired(image="b").seen(old, new).record(runtime="docker", replacing=replacing)


@pytest.mark.parametrize(
    ("operation", "error", "final"),
    [
        (Verb.CREATE, RuntimeFailure("500"), True),
        (Verb.START, RuntimeFailure("port is taken"), True),
        (Verb.CREATE, DiskFullError("full"), True),
        (Verb.PREPARE, CannotRunError("no such runtime"), True),
        (Verb.CREATE, ConflictError("the name is taken"), False),
        (Verb.START, EngineTimeoutError("no answer"), False),
        (Verb.START, EngineUnavailableError("gone"), False),
        (Verb.PREPARE, ImageUnavailableError("no such image"), False),
        (Verb.PREPARE, RuntimeFailure("500"), False),
        (Verb.PAUSE, RuntimeFailure("500"), False),
        (Verb.REMOVE, RuntimeFailure("busy"), False),
        (Verb.UPDATE, ResizePendingError("in use"), False),
    ],
)
def test_which_failures_of_a_replacement_are_final(operation: Verb, error: RuntimeFailure, final: bool) -> None:
    error.operation = str(operation)
    view = given().desired(image="a").running().desired(image="b").view()
    record = after_failure(view, error)
    assert (record.failed_hash == desired(image="b").spec_hash) is final
    assert record.failure_reason == ("ReplaceFailed" if final else "")


def test_failures_past_the_startup_deadline_end_a_replacement() -> None:
    error = EngineTimeoutError("no answer")
    error.operation = "start"
    late = under_way().record(replacing=Replacement("docker-a", "docker", NOW - 301))
    assert after_failure(late.view(), error).failure_reason == "ReplaceFailed"
    assert after_failure(under_way().view(), error).failure_reason == ""
    assert after_failure(late.view(), EngineUnavailableError("gone")).failure_reason == ""


def test_without_a_predecessor_only_what_can_never_run_is_final() -> None:
    error = RuntimeFailure("500")
    error.operation = "create"
    view = given().desired(image="a").view()
    assert after_failure(view, error) == view.record
    assert after_failure(view, CannotRunError("no such runtime")).failure_reason == "CannotRun"
    assert after_failure(view, StateError("the disk is full")) == view.record
    undeclared = given().desired(image="a").undeclared().view()
    assert after_failure(undeclared, CannotRunError("x")) == undeclared.record


def test_a_failure_of_what_is_rolled_back_to_does_not_hide_why() -> None:
    error = RuntimeFailure("the old one does not start either")
    error.operation = "start"
    view = under_way().record(failed_hash=desired(image="b").spec_hash, failure="the first reason").view()
    assert after_failure(view, error).failure == "the first reason"
