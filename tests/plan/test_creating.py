"""A sandbox that is declared comes into being, waits for what it depends on, and is made again where it was lost."""

from __future__ import annotations

from controller.model.observed import InstanceState
from controller.model.operation import Verb
from tests.plan.support import NOW, desired, given, instance, lines, verdict_text


def test_a_new_sandbox_is_prepared_created_and_started() -> None:
    assert given().desired(image="a").record(attempt_since=NOW).text() == lines(
        "prepare: declared in web.yaml:1",
        "create: declared in web.yaml:1",
        "start: declared in web.yaml:1",
        "= Creating, not ready: Starting",
    )


def test_a_create_says_whose_the_instance_is() -> None:
    plan = given().desired(image="a").plan()
    (create,) = (operation for operation in plan.operations if operation.verb is Verb.CREATE)
    assert create.owner is not None
    assert (create.owner.uid, create.owner.generation, create.owner.slot) == ("uid-1", 1, "a")
    assert create.owner.spec_hash == desired(image="a").spec_hash


def test_where_it_is_being_made_is_known_before_anything_is_made() -> None:
    plan = given().desired(image="a").plan()
    assert (plan.record.runtime, plan.record.instance_id) == ("docker", "")


def test_a_slot_that_is_still_being_removed_is_not_taken() -> None:
    going = instance(desired(image="a"), InstanceState.REMOVING)
    plan = given().desired(image="a").seen(going).plan()
    (create,) = (operation for operation in plan.operations if operation.verb is Verb.CREATE)
    assert create.owner is not None
    assert create.owner.slot == "b"


def test_one_that_was_created_and_not_started_is_started() -> None:
    created = instance(desired(image="a"), InstanceState.CREATED)
    assert given().desired(image="a").record(attempt_since=NOW).seen(created).text() == lines(
        "start docker-a: created and not yet started",
        "= Creating, not ready: Starting",
    )


def test_one_that_runs_as_wanted_is_adopted_without_a_touch() -> None:
    situation = given().desired(image="a").seen(instance(desired(image="a")))
    plan = situation.plan()
    assert situation.text() == "= Running, ready: Running"
    assert (plan.record.runtime, plan.record.instance_id, plan.record.ready_once) == ("docker", "docker-a", True)
    assert plan.record.applied == desired(image="a").spec.limits
    assert plan.requeue_at is None
    assert given().desired(image="a").running().plan().record == given().desired(image="a").running().view().record


def test_it_is_ready_after_a_second_and_says_so_once() -> None:
    young = given().desired(image="a").seen(instance(desired(image="a"), ran=0.4))
    assert verdict_text(young.plan().verdict) == "= Running, not ready: Starting"
    assert young.plan().requeue_at == NOW + 0.6
    older = young.later(0.6)
    assert [notice.reason for notice in older.plan().notices] == ["Ready"]
    assert older.plan().record.timings.ready == NOW + 0.6
    assert older.record(ready_once=True).plan().notices == ()


def test_one_that_has_run_since_before_the_clock_was_set_back_is_ready() -> None:
    situation = given().desired(image="a")
    assert situation.running(ran=-3600.0).text() == "= Running, ready: Running"
    assert situation.running(ran=-0.5).plan().requeue_at == NOW + 1.5


def test_a_directory_without_a_process_is_ready_at_once() -> None:
    idle = desired(isolation="directory")
    assert given().desired(isolation="directory").seen(instance(idle, ran=0.0)).text() == "= Running, ready: Running"


def test_one_that_was_removed_from_outside_is_made_again_and_counts_as_drift() -> None:
    situation = given().desired(image="a").record(instance_id="docker-a", ready_once=True)
    assert situation.text() == lines(
        "prepare: its container was removed from outside",
        "create: its container was removed from outside",
        "start: its container was removed from outside",
        "= Creating, not ready: Starting",
    )
    assert [operation.drifted for operation in situation.plan().operations] == [(), ("instance",), ()]


def test_past_its_startup_deadline_it_is_failed_and_still_tried() -> None:
    situation = given().desired(image="a", startupDeadline="1m").record(attempt_since=NOW - 61)
    assert situation.text() == lines(
        "prepare: declared in web.yaml:1",
        "create: declared in web.yaml:1",
        "start: declared in web.yaml:1",
        "= Failed, not ready: StartupDeadlineExceeded (not Ready within spec.startupDeadline (1m); goes on trying)",
    )


def test_it_waits_for_its_dependencies() -> None:
    situation = given().desired(image="a", dependsOn=["db"]).but(waiting_for=("default/db",))
    assert situation.text() == "= Pending, not ready: WaitingForDependencies (waits until Ready: default/db)"
    running = situation.seen(instance(desired(image="a", dependsOn=["db"])))
    assert running.text() == "= Running, ready: Running"


def test_one_that_runs_is_not_replaced_before_its_dependencies_are_ready() -> None:
    situation = given().desired(image="a").running().desired(image="b").but(waiting_for=("default/db",))
    assert situation.text() == "= Running, not ready: WaitingForDependencies (waits until Ready: default/db)"


def test_a_cycle_is_refused_and_spelt_out_and_what_runs_is_left_running() -> None:
    cycle = "default/web → default/db → default/web"
    refused = f"refused DependencyCycle: {cycle}; remove one of these dependsOn"
    situation = given().desired(image="a").but(cycle=cycle)
    assert situation.text() == f"= Pending, not ready: DependencyCycle ({cycle}); {refused}"
    assert situation.running().text() == f"= Running, ready: Running; {refused}"


def test_nothing_is_touched_while_a_manifest_cannot_be_read_and_the_store_is_lost() -> None:
    situation = given().desired(image="a").running().undeclared().but(retained=True)
    assert [str(operation) for operation in situation.plan().operations] == []
