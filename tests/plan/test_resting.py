"""Suspended, paused, stopped, deleted, expired: what is not to run comes to rest, and back."""

from __future__ import annotations

from controller.model.hold import HoldType
from controller.model.observed import InstanceState
from controller.model.operation import Verb
from controller.model.record import Termination
from controller.plan.acceptance import released_by_edit
from tests.plan.simulation import Simulation
from tests.plan.support import NOW, desired, given, instance, lines


def test_a_suspended_manifest_stops_and_is_suspended_only_once_it_is_down() -> None:
    situation = given().desired(image="a").running().desired(image="a", operatingMode="Suspended")
    cause = "Suspended: spec.operatingMode is Suspended"
    assert situation.text() == lines(
        f"stop docker-a: {cause}", "= Running, not ready: Suspending (spec.operatingMode is Suspended)"
    )
    (stop,) = situation.plan().operations
    assert stop.grace == 10.0
    down = given().desired(image="a", operatingMode="Suspended").exited(143).record(handled_exit=f"docker-a@{NOW:.3f}")
    assert down.text() == ("= Suspended, not ready: Suspended (spec.operatingMode is Suspended); suspended")


def test_one_that_is_declared_suspended_is_not_even_made() -> None:
    assert given().desired(image="a", operatingMode="Suspended").text() == (
        "= Suspended, not ready: Suspended (spec.operatingMode is Suspended); suspended"
    )


def test_freeze_pauses_and_a_resume_thaws() -> None:
    frozen = {"operatingMode": "Suspended", "suspend": {"mode": "Freeze"}}
    situation = given().desired(image="a").running().desired(image="a", **frozen)
    assert situation.text() == lines(
        "pause docker-a: Suspended: spec.operatingMode is Suspended",
        "= Running, not ready: Suspending (spec.operatingMode is Suspended)",
    )
    assert situation.plan().record.frozen
    paused = given().desired(image="a").running(state=InstanceState.PAUSED).record(frozen=True)
    assert paused.text() == lines("unpause docker-a: no longer held", "= Creating, not ready: Starting")
    assert paused.plan().operations[0].drifted == ()


def test_a_pause_from_outside_is_drift() -> None:
    paused = given().desired(image="a").running(state=InstanceState.PAUSED)
    assert paused.text() == lines("unpause docker-a: it was paused from outside", "= Creating, not ready: Starting")
    assert paused.plan().operations[0].drifted == ("state",)


def test_where_freezing_is_not_to_be_had_freeze_stops() -> None:
    situation = given().desired(image="a").running().held(HoldType.PAUSED, "pids: full").able(freeze=False)
    assert situation.text().splitlines()[0] == "stop docker-a: Paused: pids: full"
    assert situation.plan().record.ending is not None


def test_a_pause_holds_until_resume() -> None:
    situation = given().desired(image="a").running(state=InstanceState.PAUSED).record(frozen=True)
    held = situation.held(HoldType.PAUSED, "pids: 128 of 128, over the limit")
    assert held.text() == "= Suspended, not ready: Paused (pids: 128 of 128, over the limit); suspended"
    assert released_by_edit(held.holds, held.record(generation=9).view().record) == ()


def test_frozen_then_stopped_goes_down() -> None:
    paused = given().desired(image="a").running(state=InstanceState.PAUSED).record(frozen=True)
    assert paused.held(HoldType.STOPPED, "disk: full").text().splitlines()[0] == (
        "stop docker-a: LimitExceeded: disk: full"
    )


def test_a_stop_keeps_it_down_until_an_edit() -> None:
    situation = given().desired(image="a").running().held(HoldType.STOPPED, "disk: 2Gi of 1Gi, over the limit")
    assert situation.text() == lines(
        "stop docker-a: LimitExceeded: disk: 2Gi of 1Gi, over the limit",
        "= Failed, not ready: LimitExceeded (disk: 2Gi of 1Gi, over the limit)",
    )
    ending = situation.plan().record.ending
    assert ending is not None
    assert ending.cause == "disk: 2Gi of 1Gi, over the limit"
    assert released_by_edit(situation.holds, situation.view().record) == ()
    assert released_by_edit(situation.holds, situation.record(generation=2).view().record) == situation.holds


def test_a_restart_policy_does_not_start_what_is_held_down() -> None:
    down = given().desired(image="a").exited(1).record(handled_exit=f"docker-a@{NOW:.3f}", restart_after=NOW - 1)
    assert down.held(HoldType.STOPPED, "disk: full").plan().operations == ()


def test_a_directory_without_a_process_rests_and_comes_back() -> None:
    simulation = Simulation()
    simulation.edit(isolation="directory")
    simulation.rest()
    simulation.trace.clear()
    simulation.hold(HoldType.SUSPENDED)
    simulation.rest()
    simulation.resume()
    simulation.rest()
    assert simulation.trace == [
        lines(
            "stop directory-1: Suspended: Suspended by a test", "= Running, not ready: Suspending (Suspended by a test)"
        ),
        "= Suspended, not ready: Suspended (Suspended by a test); suspended",
        "= Suspended, not ready: Suspended (Suspended by a test); suspended",
        lines("start directory-1: it is to run", "= Creating, not ready: Starting"),
        "= Running, ready: Running",
    ]
    assert simulation.record is not None
    assert simulation.record.ending is None


def test_a_deleted_one_is_removed_and_its_workspace_and_name_stay() -> None:
    situation = given().desired(image="a").running().held(HoldType.DELETED, "deleted by hand")
    assert situation.text() == lines(
        "stop docker-a: Deleted: deleted by hand", "= Terminating, not ready: Deleted (deleted by hand)"
    )
    down = given().desired(image="a").exited(143).record(handled_exit=f"docker-a@{NOW:.3f}")
    removal = down.held(HoldType.DELETED, "deleted by hand")
    assert removal.text() == lines(
        "remove docker-a: Deleted: deleted by hand", "= Terminating, not ready: Deleted (deleted by hand)"
    )
    plan = removal.plan()
    assert not plan.forget
    assert plan.after is not None
    assert (plan.after.runtime, plan.after.instance_id, plan.after.uid) == ("", "", "uid-1")
    gone = given().desired(image="a").record(instance_id="docker-a", runtime="docker")
    assert gone.held(HoldType.DELETED, "deleted by hand").text() == (
        "= Suspended, not ready: Deleted (deleted by hand)"
    )
    assert gone.held(HoldType.DELETED, "deleted by hand").plan().record.instance_id == ""


def test_a_time_to_live_ends_it_and_is_waited_for() -> None:
    situation = given().desired(image="a", ttl="1h").running().record(accepted_at=NOW - 3590)
    assert situation.plan().requeue_at == NOW + 10
    assert situation.later(10).text() == lines(
        "stop docker-a: Expired: spec.ttl has passed",
        "= Terminating, not ready: Expired (spec.ttl has passed)",
    )


def test_an_end_by_expiry_is_accounted_for_before_it_is_removed() -> None:
    simulation = Simulation()
    simulation.edit(image="a", ttl="1h")
    simulation.rest()
    simulation.trace.clear()
    simulation.now += 3600
    simulation.rest()
    verdict = "= Terminating, not ready: Expired (spec.ttl has passed)"
    assert simulation.trace == [
        lines("stop docker-1: Expired: spec.ttl has passed", verdict),
        verdict,
        lines("remove docker-1: Expired: spec.ttl has passed", verdict),
        "= Succeeded, not ready: Expired (spec.ttl has passed); finished Expired",
    ]
    assert simulation.record is not None
    assert simulation.record.last_termination is not None
    assert (simulation.record.last_termination.cause, simulation.record.restarts) == ("Expired: spec.ttl has passed", 0)


def test_an_expired_one_keeps_its_workspace_unless_it_is_to_go() -> None:
    expired = {"image": "a", "shutdownTime": "2026-01-01T00:00:00Z"}
    retained = given().desired(**expired)
    assert retained.text() == (
        "= Succeeded, not ready: Expired (spec.shutdownTime or spec.ttl has passed); finished Expired"
    )
    deleted = given().desired(**expired, shutdownPolicy="Delete")
    assert deleted.text() == lines(
        "erase: Expired: spec.shutdownTime or spec.ttl has passed",
        "= Terminating, not ready: Expired (spec.shutdownTime or spec.ttl has passed)",
    )
    (erase,) = deleted.plan().operations
    assert erase.uid == "uid-1"
    after = deleted.record(last_termination=Termination("exited", 0, None, False, NOW, log_tail="secret")).plan().after
    assert after is not None
    assert after.last_termination is None
    assert deleted.record(erased=True).plan().operations == ()


def test_an_edit_of_the_time_brings_it_back() -> None:
    expired = given().desired(image="a", ttl="1s").record(accepted_at=NOW - 600, erased=True)
    edited = expired.desired(image="a", ttl="2h")
    assert [operation.verb for operation in edited.plan().operations] == [Verb.PREPARE, Verb.CREATE, Verb.START]


def test_what_is_asked_of_a_resting_one_is_moot() -> None:
    held = given().desired(image="a").running().held(HoldType.STOPPED, "disk: full").asked("kill", "memory")
    plan = held.plan()
    assert plan.consumed
    assert [operation.verb for operation in plan.operations] == [Verb.STOP]


def test_a_second_instance_rests_with_the_first() -> None:
    a, b = desired(image="a"), desired(image="b")
    both = given().desired(image="b").seen(instance(a, InstanceState.PAUSED), instance(b, slot="b"))
    assert [operation.target for operation in both.held(HoldType.SUSPENDED, "by ada").plan().operations] == [
        "docker-a",
        "docker-b",
    ]
