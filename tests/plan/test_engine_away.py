"""While an engine is away nothing is taken for gone; a fallback runs only where no container can."""

from __future__ import annotations

from controller.model.errors import CannotRunError
from controller.model.observed import InstanceState
from controller.model.operation import Verb
from controller.model.record import Replacement
from controller.plan.failure import after_failure
from tests.plan.support import NOW, Given, desired, given, instance, lines

DOWN = "EngineDown: dockerd is not running"
FALLBACK = {"image": "a", "fallback": "directory", "command": ["serve"]}
AS_DIRECTORY = desired(**FALLBACK).fallback
RUNS_AS_DIRECTORY = "degraded Fallback: no engine: runs as a directory sandbox until there is one"


def fallen_back(state: InstanceState = InstanceState.RUNNING) -> Given:
    """It runs as a directory."""
    assert AS_DIRECTORY is not None
    situation = given().desired(**FALLBACK).seen(instance(AS_DIRECTORY, state))
    return situation.record(runtime="directory", instance_id="directory-a", ready_once=True)


def test_without_a_fallback_it_waits() -> None:
    assert given().desired(image="a").away().text() == (
        f"= Pending, not ready: EngineDown (dockerd is not running); degraded {DOWN}"
    )


def test_what_ran_is_not_taken_for_gone() -> None:
    assert given().desired(image="a").running().away().text() == (
        f"= Running, not ready: EngineDown (dockerd is not running); degraded {DOWN}"
    )


def test_a_runtime_that_was_not_seen_is_away_though_it_should_be_able() -> None:
    plan = given().desired(image="a").but(unseen=frozenset({"docker"})).plan()
    assert (plan.operations, plan.verdict.message) == ((), "the docker runtime does not answer")


def test_a_finished_one_stays_finished() -> None:
    situation = given().desired(image="a", restartPolicy="Never").record(runtime="docker", finished="Succeeded").away()
    assert (
        situation.text() == f"= Succeeded, not ready: Succeeded (ended by itself); finished Succeeded; degraded {DOWN}"
    )


def test_a_kill_waits_for_the_engine() -> None:
    assert not given().desired(image="a").running().away().asked("restart", "by ada").plan().consumed


def test_a_fallback_runs_as_a_directory() -> None:
    assert given().desired(**FALLBACK).record(attempt_since=NOW).away().text() == lines(
        "prepare: no engine: spec.fallback is directory",
        "create: no engine: spec.fallback is directory",
        "start: no engine: spec.fallback is directory",
        "= Creating, not ready: Starting",
    )
    assert fallen_back().away().text() == f"= Running, ready: Running; {RUNS_AS_DIRECTORY}"


def test_no_fallback_where_a_container_may_be_alive() -> None:
    assert given().desired(**FALLBACK).running().away().plan().operations == ()
    begun = given().desired(**FALLBACK).record(runtime="docker")
    assert begun.away().plan().operations == ()


def test_a_fallback_goes_on_where_the_return_had_not_yet_quieted_it() -> None:
    returning = fallen_back().record(runtime="docker", replacing=Replacement("directory-a", "directory", NOW))
    assert returning.away().text() == f"= Running, ready: Running; {RUNS_AS_DIRECTORY}"
    assert returning.away().plan().record.runtime == "directory"
    quieted = fallen_back(InstanceState.PAUSED).record(
        runtime="docker", replacing=Replacement("directory-a", "directory", NOW)
    )
    assert quieted.away().plan().operations == ()


def test_a_fallback_that_is_edited_is_replaced_by_another_directory() -> None:
    edited = fallen_back().desired(**{**FALLBACK, "command": ["serve", "more"]}).away()
    assert edited.text().splitlines()[0] == 'prepare: spec.command changed ["serve"] → ["serve", "more"]'


def test_the_engines_return_replaces_the_fallback() -> None:
    cause = "the engine is back: spec.isolation is container"
    assert fallen_back().text() == lines(
        f"prepare: {cause}",
        f"pause directory-a: {cause}",
        f"create: {cause}",
        f"start: {cause}",
        f"= Creating, not ready: Replacing ({cause})",
    )


def test_a_fallback_that_cannot_run_does_not_condemn_the_container() -> None:
    view = given().desired(**FALLBACK).away().view()
    record = after_failure(view, CannotRunError("no such command"))
    assert AS_DIRECTORY is not None
    assert record.failed_hash == AS_DIRECTORY.spec_hash
    back = given().desired(**FALLBACK).record(failed_hash=record.failed_hash, failure_reason="CannotRun")
    assert [operation.verb for operation in back.plan().operations] == [Verb.PREPARE, Verb.CREATE, Verb.START]


def test_an_edit_to_a_directory_waits_for_the_engine_that_runs_the_container() -> None:
    edited = given().desired(image="a").running().desired(isolation="directory").away()
    assert edited.plan().operations == ()
    assert edited.plan().verdict.reason == "EngineDown"


def test_a_replacement_across_isolations_waits_where_the_old_one_may_run() -> None:
    begun = (
        given()
        .desired(isolation="directory")
        .record(runtime="directory", replacing=Replacement("docker-a", "docker", NOW))
    )
    assert begun.away().plan().operations == ()


def test_a_new_one_that_exists_needs_the_old_ones_engine_no_more() -> None:
    serving = desired(isolation="directory", command=["serve"])
    begun = given().desired(isolation="directory", command=["serve"]).seen(instance(serving))
    begun = begun.record(runtime="directory", replacing=Replacement("docker-a", "docker", NOW))
    assert begun.away().text() == "= Running, ready: Running"
    assert begun.away().plan().record.replacing is not None
    assert begun.plan().record.replacing is None


def test_removal_waits_for_every_engine_that_may_hold_an_instance() -> None:
    serving = desired(isolation="directory", command=["serve"])
    begun = given().desired(isolation="directory", command=["serve"]).seen(instance(serving))
    begun = begun.record(runtime="directory", replacing=Replacement("docker-a", "docker", NOW)).undeclared()
    assert begun.away().text() == (
        "= Terminating, not ready: EngineDown (dockerd is not running; it is removed as soon as the docker runtime "
        "answers); degraded EngineDown: dockerd is not running; it is removed as soon as the docker runtime answers"
    )
    assert [operation.verb for operation in begun.plan().operations] == [Verb.STOP, Verb.REMOVE, Verb.TRASH]
