"""Which sandboxes a change of the manifests has looked at again, beside those that it changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.model.conditions import ConditionType
from controller.model.manifest import Snapshot
from tests.loop.harness import Harness, document


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def refused(harness: Harness, names: str) -> str:
    """Those of the sandboxes that are refused for a cycle."""
    return "".join(
        name for name in names if harness.condition(name, ConditionType.ACCEPTED) == ("False", "DependencyCycle")
    )


def test_one_that_waits_for_a_departing_dependent_goes_though_that_comes_back(harness: Harness) -> None:
    harness.declare(document("a"), document("b", dependsOn=["a"]))
    harness.advance(3)
    harness.loop.queue.add(harness.key("b"))
    busy = harness.loop.queue.get(block=False)
    assert busy == harness.key("b")
    harness.declare()
    assert harness.condition("a", ConditionType.READY) == ("False", "WaitingForDependents")
    harness.declare(document("b"))
    harness.loop.queue.done(busy)
    harness.settle()
    assert [seen.owner.key for seen in harness.docker.instances.values()] == [harness.key("b")]
    assert harness.world.entry(harness.key("a")) is None


def test_every_member_of_a_cycle_is_told_of_it_and_of_its_end(harness: Harness) -> None:
    ring = {"a": "b", "b": "c", "c": "d", "d": "a"}
    declared = {name: document(name, dependsOn=[needed]) for name, needed in ring.items()}
    harness.declare(*{**declared, "d": document("d")}.values())
    assert refused(harness, "abcd") == ""
    harness.declare(*declared.values())
    assert refused(harness, "abcd") == "abcd"
    harness.declare(*{**declared, "b": document("b")}.values())
    assert refused(harness, "abcd") == ""
    harness.declare(*declared.values())
    harness.declare(*(declared[name] for name in "abd"))
    assert refused(harness, "abd") == ""


def test_an_edit_beside_a_cycle_wakes_nobody_of_it(harness: Harness) -> None:
    ring = [document("a", dependsOn=["b"]), document("b", dependsOn=["a"])]
    harness.declare(*ring, document("c"))
    before = harness.recorder.counts["reconciled terminal"]
    harness.declare(*ring, document("c", image="another"))
    assert harness.recorder.counts["reconciled terminal"] == before


def test_one_whose_manifest_was_known_to_exist_and_no_more_goes_with_it(harness: Harness) -> None:
    web = document("web")
    harness.declare(web)
    harness.advance(2)
    unread = replace(web, body={}, digest="")
    harness.source.deliver(Snapshot({web.key: unread}, synced=True))
    harness.settle()
    assert len(harness.docker.instances) == 1
    harness.declare()
    assert harness.docker.instances == {}
