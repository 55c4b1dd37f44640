"""From verdict and observation to the status that people read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.model.conditions import Condition, ConditionType, condition_of, merge_conditions
from controller.model.hold import HoldType
from controller.model.manifest import Fault
from controller.model.observed import Assurance, ContractRow, InstanceState, Usage
from controller.model.status import Phase, SandboxStatus
from controller.plan.status import Known, status_of
from tests.plan.support import NOW, Given, desired, given, instance

USAGE = Usage(NOW, 1.0, 2, 3)


def status(situation: Given, known: Known | None = None, preparing: bool = False) -> SandboxStatus:
    plan = situation.plan()
    if preparing:
        assert plan.meanwhile is not None
        plan = plan.meanwhile
    return status_of(situation.view(), plan.record, plan.verdict, known or Known())


def condition(of: SandboxStatus, type_: ConditionType) -> tuple[str, str, str]:
    found = condition_of(of.conditions, type_)
    assert found is not None
    return found.status, found.reason, found.message


def row(limit: str, state: Assurance) -> ContractRow:
    return ContractRow(limit, state, "cgroup")


def test_a_running_container() -> None:
    situation = given().desired(image="a").running(ran=60).record(restarts=2)
    shown = status(situation, Known(usage=USAGE, contract=(row("memory", Assurance.ENFORCED),), workspace="/w/uid-1"))
    assert (shown.phase, shown.observed_generation, shown.restarts) == (Phase.RUNNING, 1, 2)
    assert (shown.isolation, shown.container_id, shown.image, shown.path) == ("container", "docker-a", "a", "/w/uid-1")
    assert (shown.pid, shown.started_at, shown.usage) == (4242, NOW - 60, USAGE)
    assert [(each.type, each.status) for each in shown.conditions] == [
        ("Accepted", "True"),
        ("Ready", "True"),
        ("Suspended", "False"),
        ("Finished", "False"),
        ("Degraded", "False"),
        ("LimitsEnforced", "True"),
    ]


def test_a_running_directory_has_no_container() -> None:
    shown = status(given().desired(isolation="directory").running())
    assert (shown.isolation, shown.container_id, shown.image) == ("directory", "", "")


def test_nothing_there_yet() -> None:
    shown = status(given().desired(image="a").record(attempt_since=NOW), Known(usage=USAGE))
    assert (shown.phase, shown.isolation, shown.pid, shown.usage) == (Phase.CREATING, "", None, None)
    assert condition(shown, ConditionType.LIMITS_ENFORCED) == ("Unknown", "NotRunning", "")


def test_a_failure_to_create_is_pending_and_says_why() -> None:
    known = Known(failure=("ImageUnavailable", "no such image: a"))
    shown = status(given().desired(image="a").record(attempt_since=NOW), known)
    assert shown.phase is Phase.PENDING
    assert condition(shown, ConditionType.READY) == ("False", "ImageUnavailable", "no such image: a")
    assert condition(shown, ConditionType.DEGRADED) == ("True", "ImageUnavailable", "no such image: a")


def test_a_failure_past_the_startup_deadline_says_both() -> None:
    known = Known(failure=("ImageUnavailable", "no such image: a"))
    shown = status(given().desired(image="a").record(attempt_since=NOW - 301), known)
    assert shown.phase is Phase.FAILED
    assert condition(shown, ConditionType.READY)[:2] == ("False", "StartupDeadlineExceeded")
    assert condition(shown, ConditionType.DEGRADED) == ("True", "ImageUnavailable", "no such image: a")


def test_a_replacement_that_cannot_be_prepared_degrades_what_runs_and_no_more() -> None:
    known = Known(failure=("ImageUnavailable", "no such image: b"))
    shown = status(given().desired(image="a").running().desired(image="b"), known, preparing=True)
    assert (shown.phase, shown.image) == (Phase.RUNNING, "a")
    assert condition(shown, ConditionType.READY) == ("True", "Replacing", "spec.image changed a → b")
    assert condition(shown, ConditionType.DEGRADED) == ("True", "ImageUnavailable", "no such image: b")


def test_what_runs_stays_ready_while_its_replacement_is_prepared_and_not_once_it_makes_room() -> None:
    situation = given().desired(image="a").running().desired(image="b")
    assert condition(status(situation, preparing=True), ConditionType.READY)[:2] == ("True", "Replacing")
    assert condition(status(situation), ConditionType.READY)[:2] == ("False", "Replacing")
    young = given().desired(image="a").running(ran=0.2).desired(image="b")
    assert condition(status(young, preparing=True), ConditionType.READY)[:2] == ("False", "Replacing")


def test_a_failure_beside_a_ready_sandbox_degrades_it_only() -> None:
    shown = status(given().desired(image="a").running(), Known(failure=("ResizePending", "64Mi is below usage")))
    assert shown.phase is Phase.RUNNING
    assert condition(shown, ConditionType.READY)[0] == "True"
    assert condition(shown, ConditionType.DEGRADED) == ("True", "ResizePending", "64Mi is below usage")


def test_suspended_finished_and_refused_have_conditions_of_their_own() -> None:
    held = given().desired(image="a").running(state=InstanceState.PAUSED).held(HoldType.PAUSED, "pids: full")
    assert condition(status(held), ConditionType.SUSPENDED) == ("True", "Paused", "pids: full")
    assert status(held).holds == held.holds
    finished = given().desired(image="a", restartPolicy="Never").record(finished="Failed")
    assert condition(status(finished), ConditionType.FINISHED) == ("True", "Failed", "ended by itself")
    assert status(finished).phase is Phase.FAILED
    refused = given().desired(image="a").but(cycle="default/web → default/web")
    assert condition(status(refused), ConditionType.ACCEPTED)[:2] == ("False", "DependencyCycle")


def test_a_bad_edit_is_not_accepted_and_the_last_good_one_stays_in_force() -> None:
    fault = Fault("web.yaml", 4, 7, "is not an amount of memory", field="spec.resources.limits.memory")
    shown = status(given().desired(image="a").running(), Known(stale=fault))
    assert condition(shown, ConditionType.ACCEPTED) == (
        "False",
        "InvalidManifest",
        "web.yaml:4:7: spec.resources.limits.memory: is not an amount of memory; generation 1, the last good one, "
        "stays in force",
    )
    assert condition(shown, ConditionType.READY)[0] == "True"


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((Assurance.ENFORCED, Assurance.ENFORCED), ("True", "AllEnforced", "")),
        ((Assurance.ENFORCED, Assurance.MEASURED), ("True", "SomeMeasured", "pids is Measured")),
        (
            (Assurance.UNENFORCEABLE, Assurance.MEASURED),
            ("False", "SomeUnenforceable", "memory is Unenforceable, pids is Measured"),
        ),
    ],
)
def test_limits_are_enforced_only_where_each_is(states: tuple[Assurance, Assurance], expected: object) -> None:
    contract = tuple(row(limit, state) for limit, state in zip(("memory", "pids"), states, strict=True))
    shown = status(given().desired(image="a").running(), Known(contract=contract))
    assert condition(shown, ConditionType.LIMITS_ENFORCED) == expected


def test_what_runs_is_shown_and_not_what_makes_room() -> None:
    a, b = desired(image="a"), desired(image="b")
    young = instance(b, slot="b", ran=0.2)
    both = given().desired(image="b").seen(instance(a, InstanceState.PAUSED), young)
    assert status(both).container_id == "docker-b"
    rolled_back = given().desired(image="b").seen(instance(a), replace(young, state=InstanceState.PAUSED))
    assert status(rolled_back).container_id == "docker-a"


def test_an_engine_that_is_away_takes_no_identity() -> None:
    situation = given().desired(image="a").running()
    before = status(situation, Known(usage=USAGE))
    shown = status(situation.away(), Known(previous=before))
    assert (shown.container_id, shown.isolation, shown.image) == ("docker-a", "container", "a")
    assert (shown.pid, shown.usage) == (None, None)
    assert condition(shown, ConditionType.DEGRADED)[:2] == ("True", "EngineDown")


def test_what_is_gone_leaves_no_identity_behind() -> None:
    before = status(given().desired(image="a").running())
    gone = given().desired(image="a").held(HoldType.DELETED, "by ada")
    assert status(gone, Known(previous=before)).container_id == ""


def test_transition_times_move_only_when_a_status_flips() -> None:
    ready = Condition(ConditionType.READY, "True", "Running")
    first = merge_conditions((), (ready,), 100.0)
    again = merge_conditions(first, (replace(ready, reason="Other", message="more"),), 200.0)
    assert (again[0].last_transition_time, again[0].reason) == (100.0, "Other")
    flipped = merge_conditions(again, (replace(ready, status="False"),), 300.0)
    assert flipped[0].last_transition_time == 300.0


def test_a_status_made_again_is_the_same() -> None:
    situation = given().desired(image="a").running()
    first = status(situation)
    assert status(situation.later(9), Known(previous=first)) == first
