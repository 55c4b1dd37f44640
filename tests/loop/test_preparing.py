"""What is prepared beside the workers: the key waits in no worker, and everything else goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.model.conditions import ConditionType
from controller.model.errors import ImageUnavailableError, PreparingError
from controller.model.status import Phase
from tests.loop.harness import Harness, document


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def under_way(harness: Harness, times: int = 1000) -> None:
    harness.docker.fail("prepare", PreparingError("the pull of busybox:latest is under way"), times)


def ended(harness: Harness) -> None:
    harness.docker.failures.clear()


def test_a_sandbox_is_made_when_its_preparation_has_ended(harness: Harness) -> None:
    under_way(harness)
    harness.declare(document("web"))
    harness.advance(100)
    assert harness.phase("web") is Phase.CREATING
    assert harness.condition("web", ConditionType.DEGRADED)[0] == "False"
    assert harness.docker.calls == []
    ended(harness)
    harness.wake("web")
    assert harness.docker.calls == ["prepare", "create", "start"]


def test_a_lost_wake_is_made_good(harness: Harness) -> None:
    under_way(harness)
    harness.declare(document("web"))
    ended(harness)
    harness.advance(15)
    assert harness.docker.calls == ["prepare", "create", "start"]


def test_what_is_down_is_not_started_for_the_time_that_its_replacement_is_prepared(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    harness.loop.control.suspend(harness.key("web"), "by hand")
    harness.settle()
    under_way(harness)
    harness.declare(document("web", image="busybox:2"))
    harness.docker.calls.clear()
    harness.loop.control.resume(harness.key("web"))
    harness.settle()
    harness.advance(60)
    assert harness.docker.calls == []
    ended(harness)
    harness.wake("web")
    assert harness.docker.calls == ["prepare", "remove", "create", "start"]
    assert harness.docker.only().template["image"] == "busybox:2"


def test_a_preparation_counts_once_with_all_of_its_time(harness: Harness) -> None:
    under_way(harness)
    harness.declare(document("web"))
    for _ in range(5):
        harness.advance(40)
        harness.wake("web")
    assert harness.recorder.counts.get("prepare success") is None
    ended(harness)
    harness.wake("web")
    assert {name for name in harness.recorder.counts if name.startswith("prepare")} == {"prepare success"}
    assert harness.recorder.counts["prepare success"] == 1
    assert harness.recorder.seconds["prepare success"] == pytest.approx(200)


def test_waiting_neither_adds_to_the_backoff_of_failures_nor_ends_it(harness: Harness) -> None:
    failure = ImageUnavailableError("the registry cannot be reached")
    for _ in range(8):
        under_way(harness, times=1)
        harness.docker.fail("prepare", failure)
    harness.declare(document("web"))
    harness.advance(16)
    tried = harness.recorder.counts["prepare ImageUnavailable"]
    assert 0 < tried < 6


def test_what_it_failed_with_before_is_shown_until_it_has_succeeded(harness: Harness) -> None:
    harness.docker.fail("prepare", ImageUnavailableError("no such image"))
    harness.declare(document("web"))
    under_way(harness)
    harness.advance(5)
    assert harness.condition("web", ConditionType.DEGRADED) == ("True", "ImageUnavailable")
    ended(harness)
    harness.advance(20)
    assert harness.condition("web", ConditionType.DEGRADED)[0] == "False"


def test_an_old_version_goes_on_and_can_be_removed_while_the_new_one_is_prepared(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    old = harness.docker.only()
    under_way(harness)
    harness.declare(document("web", image="busybox:2"))
    harness.advance(60)
    assert harness.docker.only() == old
    assert harness.phase("web") is Phase.RUNNING
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    harness.declare()
    assert harness.docker.instances == {}
    assert harness.loop.queue.idle()


def test_a_replacement_is_told_once_and_only_once_it_is_prepared(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    under_way(harness)
    harness.declare(document("web", image="busybox:2"))
    harness.advance(100)
    assert "Replacing" not in harness.events("web")
    ended(harness)
    harness.advance(20)
    assert harness.events("web").count("Replacing") == 1


def test_what_is_not_wanted_any_more_is_let_go(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    under_way(harness)
    harness.declare(document("web", image="busybox:2"))
    harness.advance(20)
    assert harness.docker.forgone == []
    harness.declare(document("web"))
    assert harness.docker.forgone == [harness.key("web")]
    harness.advance(40)
    assert harness.docker.forgone == [harness.key("web")]


def test_what_the_other_isolation_needs_instead_lets_it_go(harness: Harness) -> None:
    under_way(harness)
    harness.declare(document("web"))
    harness.declare(document("web", isolation="directory"))
    assert harness.docker.forgone == [harness.key("web")]


def test_it_expires_in_time_whatever_its_replacement_waits_for(harness: Harness) -> None:
    harness.declare(document("web", ttl="200s"))
    harness.advance(2)
    harness.docker.fail("prepare", ImageUnavailableError("no such image"), times=1000)
    harness.declare(document("web", ttl="200s", image="nope"))
    harness.advance(198.5)
    assert harness.condition("web", ConditionType.FINISHED) == ("True", "Expired")


def test_what_runs_without_an_engine_says_so_while_its_replacement_is_prepared(harness: Harness) -> None:
    harness.docker.available = False
    harness.declare(document("web", fallback="directory"))
    harness.advance(2)
    harness.directory.fail("prepare", PreparingError("the environment is under way"), times=1000)
    harness.declare(document("web", fallback="directory", env=[{"name": "A", "value": "1"}]))
    harness.advance(20)
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    assert harness.condition("web", ConditionType.DEGRADED) == ("True", "Fallback")
