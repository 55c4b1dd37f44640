"""A changed spec is replaced step by step, and rolled back where the new one fails."""

from __future__ import annotations

from dataclasses import replace

from controller.model.errors import (
    RuntimeFailure,
)
from controller.model.observed import InstanceState
from controller.model.operation import Verb
from controller.model.record import Replacement
from controller.plan.difference import differences
from tests.plan.simulation import Simulation
from tests.plan.support import NOW, Given, desired, ended, given, instance, lines

PORT = {"mode": "bridge", "ports": [{"containerPort": 80, "hostPort": 8080}]}
CHANGED = "spec.image changed a → b"


def replaced(first: dict[str, object], second: dict[str, object], act: object = None) -> list[str]:
    """The plans, one a batch, from the edit to the rest."""
    simulation = Simulation()
    simulation.edit(**first)
    simulation.rest()
    simulation.trace.clear()
    simulation.edit(**second)
    if callable(act):
        act(simulation)
    simulation.rest()
    return simulation.trace


def under_way(state: InstanceState = InstanceState.RUNNING, old: InstanceState = InstanceState.PAUSED) -> Given:
    """A container made from image b has taken the place of one of image a, and is not Ready yet."""
    a, b = desired(image="a"), desired(image="b")
    situation = (
        given().desired(image="a").desired(image="b").seen(instance(a, old), instance(b, state, slot="b", ran=0))
    )
    replacing = Replacement("docker-a", "docker", NOW - 1)
    return situation.record(runtime="docker", replacing=replacing, applied=a.spec.limits)


def test_the_old_one_is_frozen_and_removed_once_the_new_one_is_ready() -> None:
    assert replaced({"image": "a"}, {"image": "b"}) == [
        lines(
            f"prepare: {CHANGED}",
            f"pause docker-1: {CHANGED}",
            f"create: {CHANGED}",
            f"start: {CHANGED}",
            f"= Creating, not ready: Replacing ({CHANGED})",
        ),
        "= Running, not ready: Starting",
        lines("remove docker-1: its replacement is Ready", "= Running, ready: Running"),
        "= Running, ready: Running",
    ]


def test_one_that_holds_a_port_the_new_one_needs_is_stopped() -> None:
    first = replaced({"image": "a", "network": PORT}, {"image": "b", "network": PORT})[0]
    assert f"stop docker-1: {CHANGED}" in first.splitlines()
    other = {"mode": "bridge", "ports": [{"containerPort": 80, "hostPort": 9090}]}
    first = replaced({"image": "a", "network": PORT}, {"image": "a", "network": other})[0]
    assert "pause docker-1" in first


def test_a_runtime_that_cannot_freeze_stops() -> None:
    situation = given().desired(image="a").running().desired(image="b").able(freeze=False)
    assert f"stop docker-a: {CHANGED}" in situation.text()


def test_another_isolation_is_a_replacement_on_the_same_workspace() -> None:
    batches = replaced({"image": "a"}, {"isolation": "directory", "image": "a", "command": ["serve"]})
    assert batches[0].splitlines()[1] == "pause docker-1: spec.isolation changed container → directory"
    assert batches[2].splitlines()[0] == "remove docker-1: its replacement is Ready"


def test_one_that_has_ended_makes_room_at_once() -> None:
    simulation = Simulation()
    simulation.edit(image="a", restartPolicy="Never")
    simulation.rest()
    simulation.end(0)
    simulation.rest()
    simulation.edit(image="b", restartPolicy="Never")
    simulation.trace.clear()
    simulation.rest()
    assert simulation.trace[0] == lines(
        f"prepare: {CHANGED}",
        f"remove docker-1: {CHANGED}",
        f"create: {CHANGED}",
        f"start: {CHANGED}",
        f"= Creating, not ready: Replacing ({CHANGED})",
    )


def test_an_end_of_the_old_one_that_the_edit_overtook_does_not_end_the_new_one() -> None:
    situation = given().desired(image="a", restartPolicy="Never").exited(1).desired(image="b", restartPolicy="Never")
    record = situation.plan().record
    assert record.last_termination is not None
    assert (record.finished, record.failed_hash, record.crash_streak) == ("", "", 0)


def test_a_new_one_that_ends_at_once_is_removed_and_the_old_one_goes_on() -> None:
    def end(simulation: Simulation) -> None:
        simulation.settle()
        simulation.end(1)
        simulation.trace.clear()

    failure = "the new one ended: exited with status 1"
    goes_on = f"degraded ReplaceFailed: {failure}; the previous version goes on until the manifest is edited"
    assert replaced({"image": "a", "restartPolicy": "Never"}, {"image": "b", "restartPolicy": "Never"}, end) == [
        f"= Creating, not ready: ReplaceFailed ({failure})",
        lines(f"remove docker-2: {failure}", f"= Creating, not ready: ReplaceFailed ({failure})"),
        lines(f"unpause docker-1: its replacement failed: {failure}", f"= Creating, not ready: Starting; {goes_on}"),
        f"= Running, ready: Running; {goes_on}",
    ]


def test_a_new_one_that_cannot_run_says_why_the_old_one_goes_on() -> None:
    def end(simulation: Simulation) -> None:
        simulation.settle()
        simulation.end(127)

    last = replaced({"image": "a"}, {"image": "b", "command": ["nope"]}, end)[-1]
    assert last.startswith("= Running, ready: Running; degraded ReplaceFailed: the new one ended: nope: not found")


def test_a_new_one_that_has_done_its_work_at_once_has_succeeded() -> None:
    def end(simulation: Simulation) -> None:
        simulation.settle()
        simulation.end(0)
        simulation.trace.clear()

    assert replaced({"image": "a"}, {"image": "b", "restartPolicy": "Never"}, end)[1:] == [
        lines(
            "remove docker-1: its replacement has ended",
            "= Succeeded, not ready: Succeeded (exited with status 0); finished Succeeded",
        ),
        "= Succeeded, not ready: Succeeded (exited with status 0); finished Succeeded",
    ]


def test_one_that_went_down_for_the_new_one_is_started_again_and_not_blamed() -> None:
    simulation = Simulation()
    simulation.edit(image="a", network=PORT, restartPolicy="Never")
    simulation.rest()
    simulation.fail(Verb.START, RuntimeFailure("port is already allocated"), "b")
    simulation.edit(image="b", network=PORT, restartPolicy="Never")
    simulation.rest()
    assert simulation.record is not None
    assert (simulation.record.finished, simulation.record.restarts) == ("", 0)
    assert [seen.id for seen in simulation.unfrozen()] == ["docker-1"]
    assert "start docker-1: its replacement failed: port is already allocated" in "\n".join(simulation.trace)


def test_a_rolled_back_one_keeps_its_own_limits() -> None:
    simulation = Simulation()
    simulation.edit(image="a", resources={"limits": {"memory": "256Mi"}})
    simulation.rest()
    simulation.fail(Verb.START, RuntimeFailure("no"), "b")
    simulation.edit(image="b", resources={"limits": {"memory": "64Mi"}})
    simulation.rest()
    (running,) = simulation.unfrozen()
    assert running.limits.memory == 256 << 20
    simulation.relimit(replace(running.limits, memory=1 << 30))
    simulation.rest()
    assert simulation.unfrozen()[0].limits.memory == 256 << 20


def test_a_rolled_back_one_that_ends_is_restarted_by_its_policy() -> None:
    simulation = Simulation()
    simulation.edit(image="a")
    simulation.rest()
    simulation.fail(Verb.START, RuntimeFailure("no"), "b")
    simulation.edit(image="b")
    simulation.rest()
    simulation.end(1)
    simulation.rest()
    assert [seen.id for seen in simulation.unfrozen()] == ["docker-1"]
    assert simulation.record is not None
    assert simulation.record.restarts == 1


def test_what_a_failed_one_fell_back_to_can_fail_for_good_as_well() -> None:
    simulation = Simulation()
    simulation.edit(image="a")
    simulation.rest()
    simulation.fail(Verb.START, RuntimeFailure("no"), "b")
    simulation.edit(image="b")
    simulation.rest()
    simulation.meddle("docker", InstanceState.PAUSED)
    simulation.settle()
    simulation.instances = {seen.id: replace(seen, started_at=simulation.now) for seen in simulation.instances.values()}
    simulation.end(127)
    simulation.rest()
    assert simulation.unfrozen() == []
    assert simulation.record is not None
    assert (simulation.record.finished, simulation.record.failure_reason) == ("Failed", "ReplaceFailed")
    assert simulation.record.failed_hash == desired(image="b").spec_hash


def test_a_failed_one_whose_predecessor_is_gone_is_tried_again() -> None:
    simulation = Simulation()
    simulation.edit(image="a")
    simulation.rest()
    simulation.fail(Verb.START, RuntimeFailure("no"), "b", times=1)
    simulation.edit(image="b")
    simulation.rest()
    simulation.meddle("docker", None)
    simulation.rest()
    (running,) = simulation.unfrozen()
    assert running.template["image"] == "b"


def test_a_restart_tries_a_failed_spec_again() -> None:
    simulation = Simulation()
    simulation.edit(image="a")
    simulation.rest()
    simulation.fail(Verb.START, RuntimeFailure("no"), "b", times=1)
    simulation.edit(image="b")
    simulation.rest()
    simulation.ask("restart")
    simulation.rest()
    (running,) = simulation.unfrozen()
    assert running.template["image"] == "b"


def test_a_replacement_that_is_called_off_removes_the_new_one_before_the_old_one_thaws() -> None:
    situation = under_way().desired(image="a").record(attempt_since=NOW)
    assert situation.text() == lines(
        "remove docker-b: an instance too many",
        "unpause docker-a: its replacement was called off",
        "= Creating, not ready: Starting",
    )


def test_an_edit_meanwhile_keeps_the_one_that_was_ready_and_not_the_one_in_between() -> None:
    changed = "spec.image changed a → c"
    assert under_way().desired(image="c").text() == lines(
        f"prepare: {changed}",
        "remove docker-b: an instance too many",
        f"create: {changed}",
        f"start: {changed}",
        f"= Creating, not ready: Replacing ({changed})",
    )


def test_an_old_one_that_was_thawed_from_outside_is_frozen_again() -> None:
    assert under_way(old=InstanceState.RUNNING).text() == lines(
        "pause docker-a: its replacement is under way", "= Running, not ready: Starting"
    )
    created = under_way(InstanceState.CREATED, old=InstanceState.RUNNING)
    assert [str(operation.verb) for operation in created.plan().operations] == ["pause", "start"]


def test_a_replacement_goes_on_though_a_dependency_is_lost_meanwhile() -> None:
    created = under_way(InstanceState.CREATED).but(waiting_for=("default/db",))
    assert [str(operation.verb) for operation in created.plan().operations] == ["start"]


def test_a_new_one_that_was_ready_while_nobody_looked_is_no_failed_replacement() -> None:
    b = desired(image="b", restartPolicy="OnFailure")
    gone_by = instance(b, InstanceState.EXITED, slot="b", ran=3600, exit=ended(1))
    old = instance(desired(image="a"), InstanceState.PAUSED)
    situation = given().desired(image="b", restartPolicy="OnFailure").seen(old, gone_by)
    situation = situation.record(runtime="docker", replacing=Replacement("docker-a", "docker", NOW - 3601))
    record = situation.plan().record
    assert (record.failed_hash, record.restarts) == ("", 1)
    counted = situation.record(handled_exit=record.handled_exit, last_termination=record.last_termination)
    assert [str(operation.verb) for operation in counted.plan().operations] == ["remove", "start"]


def test_the_limits_of_the_old_one_are_remembered_until_it_is_gone() -> None:
    edited = under_way().record(applied=desired(image="a").spec.limits)
    larger = edited.desired(image="b", resources={"limits": {"memory": "1Gi"}}).plan()
    assert larger.record.applied == desired(image="a").spec.limits


def test_a_restored_workspace_replaces_the_instance_on_the_other_one() -> None:
    situation = given().desired(image="a").running().record(uid="uid-0")
    assert situation.text().splitlines()[0] == "prepare: its workspace was restored"


def test_a_cause_names_variables_and_never_their_values() -> None:
    before = [{"name": "LANG", "value": "C"}, {"name": "TOKEN", "value": "hunter2"}]
    after = [{"name": "LANG", "value": "C"}, {"name": "TOKEN", "value": "hunter3"}, {"name": "MORE", "value": "x"}]
    situation = given().desired(image="a", env=before).running().desired(image="a", env=after)
    assert situation.text().splitlines()[0] == "prepare: spec.env changed MORE, TOKEN"
    assert "hunter" not in situation.text()
    turned = given().desired(image="a", env=before).running().desired(image="a", env=before[::-1])
    assert turned.text().splitlines()[0] == "prepare: spec.env changed its order"


def test_a_cause_tells_three_differences_and_counts_the_rest() -> None:
    situation = given().desired(image="a").running()
    edited = situation.desired(
        image="b" * 60, user="7", workingDir="/workspace/x", command=["c"], resources={"limits": {"cpu": None}}
    )
    assert edited.text().splitlines()[0] == (
        f'prepare: spec.command changed [] → ["c"]; spec.image changed a → {"b" * 39}…; '
        "spec.resources.limits.cpu changed limited → none and 2 more"
    )


def test_a_change_at_the_end_of_something_long_is_shown() -> None:
    loop = "while true; do date; sleep {}; done"
    found = differences({"command": ["sh", "-c", loop.format(5)]}, {"command": ["sh", "-c", loop.format(1)]})
    assert list(found) == ['spec.command changed …date; sleep 5; done"] → …date; sleep 1; done"]']
