"""How a daemon begins."""

from __future__ import annotations

from pathlib import Path

from tests.loop.harness import Harness, document


def test_nothing_is_removed_before_the_manifests_have_spoken(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.declare(document("web"))
    harness.advance(2)
    calls, snapshot = list(harness.docker.calls), harness.source.present
    harness.source.silent = True
    harness.restart()
    harness.settle()
    assert harness.docker.calls == calls
    harness.source.silent = False
    harness.source.deliver(snapshot)
    harness.settle()
    assert harness.docker.calls == calls


def test_departing_sandboxes_that_depend_on_each_other_do_not_wait_for_ever(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.declare(document("a"), document("b", dependsOn=["a"]))
    harness.advance(3)
    harness.declare(document("a", dependsOn=["b"]), document("b", dependsOn=["a"]))
    harness.advance(1)
    harness.declare()
    harness.advance(1)
    assert harness.docker.instances == {}
