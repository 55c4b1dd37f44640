"""A directory sandbox without a command is up without a process; its ends are recorded as any other's."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.model.conditions import ConditionType
from controller.model.observed import InstanceState, Usage
from controller.model.record import Intent, Termination
from controller.model.status import Phase
from tests.loop.harness import Harness, document

POLICIES = ("Always", "OnFailure", "Never")


def running(tmp_path: Path, policy: str) -> Harness:
    harness = Harness(tmp_path)
    harness.declare(document("web", isolation="directory", restartPolicy=policy))
    harness.advance(2)
    return harness


def last_end(harness: Harness) -> Termination:
    ended = harness.entry("web").record.last_termination
    assert ended is not None
    return ended


@pytest.mark.parametrize("policy", POLICIES)
def test_a_restart_by_hand_counts_once_and_finishes_nothing(tmp_path: Path, policy: str) -> None:
    harness = running(tmp_path, policy)
    harness.loop.control.restart(harness.key("web"), "restarted by hand")
    harness.advance(10)
    record = harness.entry("web").record
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    assert (record.restarts, record.crash_streak, last_end(harness).cause) == (1, 0, "restarted by hand")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_kill_names_its_limit_and_its_policy_decides(tmp_path: Path, policy: str) -> None:
    harness = running(tmp_path, policy)
    cause = "memory: 600Mi of 512Mi, over the limit"
    harness.world.intend(harness.key("web"), Intent("kill", cause, run=harness.directory.only().run))
    harness.wake("web")
    harness.advance(10)
    assert (last_end(harness).cause, last_end(harness).exit_code) == (cause, 137)
    finished = policy == "Never"
    assert harness.phase("web") == (Phase.FAILED if finished else Phase.RUNNING)
    assert harness.entry("web").record.restarts == (0 if finished else 1)


def test_one_that_is_down_shows_neither_usage_nor_limits_in_force(tmp_path: Path) -> None:
    harness = running(tmp_path, "Always")
    harness.directory.usages[harness.directory.only().id] = Usage(harness.clock.now(), 0.0, 1 << 20, 1)
    harness.loop.tick.run()
    assert harness.entry("web").usage is not None
    assert harness.entry("web").contract != ()
    harness.loop.control.suspend(harness.key("web"), "asked by a person")
    harness.settle()
    assert harness.directory.only().state is InstanceState.EXITED
    assert (harness.entry("web").usage, harness.entry("web").contract) == (None, ())
