"""A running sandbox is looked after, and its status true, while the image it was edited to cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.model.conditions import ConditionType, condition_of
from controller.model.errors import ImageUnavailableError
from controller.model.observed import InstanceState
from controller.model.record import Intent
from controller.model.status import Phase
from tests.loop.harness import Harness, document


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """`web` runs and its manifest names an image that is nowhere."""
    harness = Harness(tmp_path)
    harness.declare(document("web"))
    harness.advance(2)
    harness.docker.fail("prepare", ImageUnavailableError("no such image: nope"), times=10_000)
    harness.declare(document("web", image="nope"))
    harness.advance(900)
    return harness


def degraded_since(harness: Harness) -> float:
    status = harness.entry("web").status
    assert status is not None
    condition = condition_of(status.conditions, ConditionType.DEGRADED)
    assert condition is not None
    assert (condition.status, condition.reason) == ("True", "ImageUnavailable")
    return condition.last_transition_time


def crash(harness: Harness) -> None:
    harness.docker.end(harness.docker.only().id, code=1)
    harness.wake("web")


def test_a_crash_is_restarted_at_once_and_it_is_degraded_all_the_time(harness: Harness) -> None:
    old, since = harness.docker.only().id, degraded_since(harness)
    crash(harness)
    assert (harness.docker.only().id, harness.docker.only().state) == (old, InstanceState.RUNNING)
    harness.advance(3)
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    assert degraded_since(harness) == since
    assert harness.entry("web").record.restarts == 1
    assert len(harness.store.terminations(harness.key("web"))) == 1


def test_a_restart_that_is_due_waits_for_no_backoff_of_the_replacement(harness: Harness) -> None:
    for _ in range(3):
        crash(harness)
        harness.advance(0.5)
    assert harness.phase("web") == Phase.CRASH_LOOP
    due = harness.entry("web").record.restart_after
    harness.advance(due - harness.clock.now() + 0.1)
    assert harness.docker.only().state is InstanceState.RUNNING


def test_a_kill_and_a_restart_by_hand_reach_it(harness: Harness) -> None:
    old = harness.docker.only()
    harness.loop.control.restart(harness.key("web"), "asked by a person")
    harness.advance(3)
    assert harness.docker.only().started_at != old.started_at
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    harness.world.intend(harness.key("web"), Intent("kill", "memory: over the limit", run=harness.docker.only().run))
    harness.wake("web")
    harness.advance(3)
    assert harness.docker.only().id == old.id
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    last = harness.entry("web").record.last_termination
    assert last is not None
    assert (last.cause, harness.entry("web").record.restarts) == ("memory: over the limit", 2)


def test_an_end_of_life_is_met_though_the_next_attempt_is_far_away(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.docker.fail("prepare", ImageUnavailableError("no such image: nope"), times=10_000)
    harness.declare(document("web", image="nope", ttl="20m"))
    harness.advance(1201)
    assert harness.condition("web", ConditionType.FINISHED) == ("True", "Expired")
