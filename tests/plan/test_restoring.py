"""A workspace is brought back from the trash: the record first, so that no crash leaves it without an owner."""

from __future__ import annotations

import pytest

from controller.model.errors import RuntimeFailure, StateError
from controller.model.operation import Verb
from controller.model.record import Intent
from controller.plan.failure import after_failure
from controller.plan.restoring import RESTORE, reserved_by
from tests.plan.simulation import Simulation, until_crash
from tests.plan.support import NOW, Given, given, lines

ASKED = Intent(RESTORE, "asked for by hand", uid="uid-0", document={"spec": {"image": "a"}})


def asked_back() -> Given:
    return given().desired(image="a").running().but(intent=ASKED)


def test_the_record_has_the_former_uid_before_the_workspace_is_moved() -> None:
    plan = asked_back().plan()
    (restore,) = plan.operations
    assert (restore.verb, restore.uid, restore.instead_of) == (Verb.RESTORE, "uid-0", "uid-1")
    assert (plan.record.uid, plan.record.restoring) == ("uid-0", "uid-1")
    assert plan.consumed
    assert plan.after is not None
    assert (plan.after.uid, plan.after.restoring) == ("uid-0", None)


def test_one_that_was_begun_is_finished_before_anything_else() -> None:
    begun = asked_back().plan()
    again = given().desired(image="a").running().record(uid="uid-0", restoring="uid-1").plan()
    assert again.operations == begun.operations


@pytest.mark.parametrize("step", range(16))
def test_a_crash_at_any_step_leaves_the_workspace_in_the_trash_or_under_its_sandbox(step: int) -> None:
    simulation = Simulation()
    simulation.edit(image="a")
    simulation.rest()
    simulation.trashed, simulation.intent = ["uid-0"], ASKED
    simulation.crash_at = simulation.steps + step
    until_crash(simulation, Simulation.rest)
    simulation.rest()
    assert simulation.record is not None
    assert simulation.record.restoring is None
    assert (simulation.record.uid, simulation.trashed) == (("uid-1", ["uid-0"]) if step == 0 else ("uid-0", []))
    assert [seen.owner.uid for seen in simulation.unfrozen()] == [simulation.record.uid]


def test_the_instance_on_the_other_workspace_is_replaced_afterwards() -> None:
    after = given().desired(image="a").running().record(uid="uid-0")
    assert after.text().splitlines()[0] == "prepare: its workspace was restored"


def test_what_cannot_be_restored_leaves_the_sandbox_as_it_was() -> None:
    view = given().desired(image="a").running().record(uid="uid-0", restoring="uid-1").view()
    for error in (StateError("it is not in the trash (any more)"), RuntimeFailure("no space")):
        error.operation = str(Verb.RESTORE)
        assert after_failure(view, error).uid == "uid-1"
        assert after_failure(view, error).restoring is None


def test_a_workspace_that_no_manifest_declares_is_reserved_and_tried_again_until_it_is_back() -> None:
    record = reserved_by(ASKED, NOW)
    assert record is not None
    assert record.document == ASKED.document
    situation = Given(known=record)
    assert situation.text() == lines(
        "restore: its workspace uid-0 was asked back",
        "= Pending, not ready: Restoring (its workspace uid-0 was asked back)",
    )
    error = StateError("read-only")
    error.operation = str(Verb.RESTORE)
    assert after_failure(situation.view(), error) == record
    assert reserved_by(None, NOW) is None


def test_nothing_that_is_known_and_undeclared_takes_another_workspace() -> None:
    undeclared = given().desired(image="a").running().undeclared().but(intent=ASKED)
    assert [str(each.verb) for each in undeclared.plan().operations] == ["stop", "remove", "trash"]
