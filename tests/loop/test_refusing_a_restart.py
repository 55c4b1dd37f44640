"""Which sandboxes may be restarted by hand, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.model.conditions import ConditionType
from controller.model.errors import UsageError
from controller.model.hold import Hold, HoldType
from tests.loop.harness import Harness, document


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def test_a_restart_of_one_that_is_held_down_names_the_hold_and_what_ends_it(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    harness.loop.control.suspend(harness.key("web"), "by hand")
    with pytest.raises(UsageError, match="is Suspended: by hand; `sandkeeper resume default/web` lets it run"):
        harness.loop.control.restart(harness.key("web"), "asked by a person")


def test_one_that_its_manifest_suspends_is_not_told_to_be_resumed(harness: Harness) -> None:
    harness.declare(document("web", operatingMode="Suspended"))
    with pytest.raises(UsageError, match=r"set spec\.operatingMode: Running in web\.yaml"):
        harness.loop.control.restart(harness.key("web"), "asked by a person")


def test_one_that_is_throttled_runs_and_may_be_restarted(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    key = harness.key("web")
    harness.world.add_hold(Hold(key, HoldType.THROTTLED, "cpu above 95%", harness.clock.now(), 1, 250))
    harness.loop.control.restart(key, "asked by a person")
    harness.advance(2)
    assert harness.docker.calls.count("start") == 2
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    assert [hold.type for hold in harness.world.holds(key)] == [HoldType.THROTTLED]
