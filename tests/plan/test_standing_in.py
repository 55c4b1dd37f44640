"""An old version is looked after for as long as its replacement cannot be prepared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controller.model.errors import ImageUnavailableError, RuntimeFailure
from controller.model.hold import HoldType
from controller.model.observed import InstanceState, Observed
from controller.model.operation import Verb
from tests.plan.simulation import Simulation
from tests.plan.support import given

MISSING = ImageUnavailableError("no such image: b")


def edited_in_vain(**spec: Any) -> Simulation:
    """It ran, and was edited to an image that cannot be had."""
    simulation = Simulation()
    simulation.edit(image="a", **spec)
    simulation.rest()
    simulation.fail(Verb.PREPARE, MISSING, "b")
    simulation.edit(image="b", **spec)
    simulation.settle()
    simulation.now += 60
    return simulation


def only(simulation: Simulation) -> Observed:
    (seen,) = simulation.instances.values()
    return seen


def is_old_and_up(simulation: Simulation) -> bool:
    return (only(simulation).id, only(simulation).state) == ("docker-1", InstanceState.RUNNING)


def test_it_is_restarted_after_a_crash_and_the_restart_counts() -> None:
    simulation = edited_in_vain()
    simulation.end(1)
    simulation.settle()
    assert is_old_and_up(simulation)
    assert simulation.record is not None
    assert (simulation.record.restarts, simulation.record.crash_streak) == (1, 1)


def test_one_that_keeps_crashing_waits_between_restarts() -> None:
    simulation = edited_in_vain()
    for _ in range(4):
        simulation.now += 400
        simulation.settle()
        simulation.end(1)
    plan = simulation._pass()  # the accounting
    assert plan is not None
    waiting = simulation._pass()
    assert waiting is not None
    assert waiting.meanwhile is not None
    assert waiting.meanwhile.verdict.reason == "CrashLoopBackOff"
    assert waiting.requeue_at == simulation.now - 1 + 4
    assert waiting.operations[0].verb is Verb.PREPARE


def test_it_starts_again_after_the_engine_did() -> None:
    simulation = edited_in_vain(restartPolicy="Never")
    simulation.end(137, engine_restarted=True)
    simulation.settle()
    assert is_old_and_up(simulation)
    assert simulation.record is not None
    assert simulation.record.restarts == 0


def test_one_whose_work_is_done_stays_down_and_finishes_nothing() -> None:
    simulation = edited_in_vain(restartPolicy="Never")
    simulation.end(0)
    simulation.settle()
    assert only(simulation).state is InstanceState.EXITED
    assert simulation.record is not None
    assert simulation.record.finished == ""
    simulation.fails.clear()
    simulation.rest()
    assert [seen.template["image"] for seen in simulation.unfrozen()] == ["b"]


def test_one_that_was_done_before_the_edit_stays_down() -> None:
    simulation = Simulation()
    simulation.edit(image="a", restartPolicy="Never")
    simulation.rest()
    simulation.end(0)
    simulation.rest()
    simulation.fail(Verb.PREPARE, MISSING, "b")
    simulation.edit(image="b", restartPolicy="Never")
    simulation.settle()
    assert only(simulation).state is InstanceState.EXITED


def test_one_that_crashed_before_the_edit_goes_on_once_its_replacement_is_known_to_be_in_vain() -> None:
    simulation = Simulation()
    simulation.edit(image="a")
    simulation.rest()
    simulation.end(1)
    simulation.fail(Verb.PREPARE, MISSING, "b")
    simulation.edit(image="b")
    simulation.trace.clear()
    simulation.settle()
    assert simulation.trace[1].startswith("prepare: spec.image changed a → b\nremove docker-1")
    assert is_old_and_up(simulation)


def test_a_limit_still_kills_it_though_its_replacement_was_not_tried_yet() -> None:
    running = given().desired(image="a").running().desired(image="b")
    plan = running.asked("kill", "memory: over the limit").plan()
    assert [str(operation) for operation in plan.operations] == ["kill sandbox default/web: memory: over the limit"]
    assert plan.consumed


def test_a_kill_by_its_limit_is_accounted_for_and_it_runs_again() -> None:
    simulation = edited_in_vain()
    simulation.ask("kill")
    simulation.settle()
    assert is_old_and_up(simulation)
    assert simulation.record is not None
    assert simulation.record.last_termination is not None
    assert (simulation.record.last_termination.cause, simulation.record.restarts) == ("kill by a test", 1)


def test_it_is_restarted_by_hand() -> None:
    simulation = edited_in_vain()
    before = only(simulation).started_at
    simulation.ask("restart")
    simulation.settle()
    assert is_old_and_up(simulation)
    assert only(simulation).started_at != before
    assert simulation.record is not None
    assert (simulation.record.restarts, simulation.intent) == (1, None)


def test_a_restart_together_with_an_edit_is_the_replacement() -> None:
    running = given().desired(image="a").running().desired(image="b")
    plan = running.asked("restart", "restarted by hand").plan()
    assert [str(operation.verb) for operation in plan.operations] == ["prepare", "pause", "create", "start"]
    assert plan.operations[-1].cause == "restarted by hand"


def test_it_is_throttled_and_given_back_its_cpu() -> None:
    simulation = edited_in_vain(resources={"limits": {"cpu": "1"}})
    simulation.hold(HoldType.THROTTLED, 250)
    simulation.settle()
    assert only(simulation).limits.cpu == 250
    simulation.resume()
    simulation.settle()
    assert only(simulation).limits.cpu == 1000


def test_a_pause_from_outside_is_undone() -> None:
    simulation = edited_in_vain()
    simulation.meddle("docker", InstanceState.PAUSED)
    simulation.settle()
    assert is_old_and_up(simulation)


def test_it_goes_down_and_up_again_with_a_suspension() -> None:
    simulation = edited_in_vain()
    simulation.hold(HoldType.SUSPENDED)
    simulation.settle()
    assert only(simulation).state is InstanceState.EXITED
    simulation.resume()
    simulation.settle()
    assert is_old_and_up(simulation)
    assert simulation.record is not None
    assert simulation.record.restarts == 0


def test_it_is_looked_after_while_its_replacement_waits_for_a_dependency() -> None:
    running = given().desired(image="a").running().desired(image="b", dependsOn=["db"])
    waiting = running.but(waiting_for=("default/db",))
    assert waiting.plan().operations == ()
    throttled = waiting.held(HoldType.THROTTLED, "cpu: above 95%", 250)
    assert [str(operation.verb) for operation in throttled.plan().operations] == ["update"]


def test_one_that_cannot_be_started_again_keeps_nobody_from_trying_its_replacement() -> None:
    simulation = edited_in_vain()
    simulation.fail(Verb.START, RuntimeFailure("port is already allocated"), "a")
    simulation.end(1)
    simulation.settle()
    simulation.fails = [failing for failing in simulation.fails if failing.image == "a"]
    simulation.rest()
    assert [seen.template["image"] for seen in simulation.unfrozen()] == ["b"]
    assert simulation.record is not None
    assert (simulation.record.failed_hash, simulation.record.unprepared) == ("", "")


def test_its_crashes_are_not_held_against_its_replacement() -> None:
    simulation = edited_in_vain()
    for _ in range(3):
        simulation.end(1)
        simulation.settle()
    simulation.fails.clear()
    simulation.rest()
    assert [seen.template["image"] for seen in simulation.unfrozen()] == ["b"]
    assert simulation.record is not None
    assert simulation.record.crash_streak == 0


def test_its_readiness_is_not_that_of_the_new_generation() -> None:
    simulation = edited_in_vain()
    simulation.end(1)
    simulation.rest()
    assert simulation.record is not None
    assert (simulation.record.ready_once, simulation.record.timings.ready) == (False, None)


def test_called_off_it_goes_on_untouched() -> None:
    simulation = edited_in_vain()
    before = only(simulation)
    simulation.edit(image="a")
    simulation.rest()
    assert only(simulation) == replace(before, owner=before.owner)
    assert simulation.record is not None
    assert simulation.record.unprepared == ""
