"""A sandbox that no file declares any more goes, dependents first, and its workspace is kept in the trash."""

from __future__ import annotations

from controller.model.observed import InstanceState
from controller.plan.removal import DELETE
from tests.plan.support import desired, given, instance, lines

CAUSE = "no manifest declares it any more (was web.yaml:1)"


def test_it_is_stopped_removed_and_its_workspace_put_into_the_trash() -> None:
    situation = given().desired(image="a", stopGracePeriod="3s").running().undeclared()
    assert situation.text() == lines(
        f"stop docker-a: {CAUSE}",
        f"remove docker-a: {CAUSE}",
        f"trash: {CAUSE}",
        f"= Terminating, not ready: Removed ({CAUSE})",
    )
    plan = situation.plan()
    assert plan.forget
    assert plan.operations[0].grace == 3.0
    assert plan.operations[-1].uid == "uid-1"


def test_every_instance_goes_paused_and_ended_ones_too() -> None:
    a, b = desired(image="a"), desired(image="b")
    situation = (
        given().desired(image="b").seen(instance(a, InstanceState.PAUSED), instance(b, InstanceState.EXITED, slot="b"))
    )
    assert situation.undeclared().text().splitlines()[:-2] == [
        f"stop docker-a: {CAUSE}",
        f"remove docker-a: {CAUSE}",
        f"remove docker-b: {CAUSE}",
    ]


def test_a_directory_without_a_process_needs_no_stop() -> None:
    situation = given().desired(isolation="directory").running().undeclared()
    assert [str(operation.verb) for operation in situation.plan().operations] == ["remove", "trash"]


def test_one_that_never_ran_leaves_only_its_workspace() -> None:
    assert [str(each.verb) for each in given().desired(image="a").undeclared().plan().operations] == ["trash"]


def test_one_whose_manifest_was_never_known_is_left_alone_until_somebody_says_so() -> None:
    situation = given().desired(image="a").running().record(origin="", document={}).undeclared()
    assert situation.text() == (
        "= Running, not ready: ManifestUnknown (the state store was lost and no manifest declares it; nothing is "
        "touched until one does, or until `sandkeeper delete web`)"
    )
    asked = situation.asked(DELETE, "deleted by hand").plan()
    assert str(asked.operations[0]).endswith(": no manifest declares it")
    assert asked.operations[0].grace == 10.0
    assert asked.forget
    begun = situation.record(ending=asked.record.ending)
    assert [str(each.verb) for each in begun.plan().operations] == ["stop", "remove", "trash"], "after a crash too"


def test_a_removal_that_was_asked_for_is_off_once_a_manifest_declares_it_again() -> None:
    plan = given().desired(image="a").running().asked(DELETE, "deleted by hand").plan()
    assert plan.operations == ()
    assert plan.consumed


def test_dependents_go_first() -> None:
    situation = given().desired(image="a").running().undeclared().but(dependents=("default/app",))
    assert situation.text() == (
        "= Terminating, not ready: WaitingForDependents (waits for its dependents to go: default/app)"
    )


def test_a_restored_workspace_waits_for_its_manifest() -> None:
    situation = given().desired(image="a").record(reserved=True).undeclared()
    assert situation.text() == "= Pending, not ready: Restored (its workspace waits for a manifest)"
    assert not situation.desired(image="a").view().record.reserved
    taken_up = given().desired(image="a").running().asked("delete", "deleted by hand").plan()
    assert (taken_up.operations, taken_up.consumed) == ((), True)
