"""How a daemon begins."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from controller.model.conditions import ConditionType
from controller.model.status import Phase
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


def test_after_a_reboot_a_dependency_is_ready_again_before_its_dependent_starts(tmp_path: Path) -> None:
    names = [f"s{number}" for number in range(6)]
    harness = Harness(tmp_path)
    chain = [document(name, dependsOn=names[:number][-1:]) for number, name in enumerate(names)]
    harness.declare(*chain)
    harness.advance(10)
    for target in list(harness.docker.instances):
        harness.docker.end(target, code=137, signal=9)
    harness.restart()
    harness.advance(30)
    started = {seen.owner.key.name: seen.started_at for seen in harness.docker.instances.values()}
    times = [started[name] or 0.0 for name in names]
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(times))


def test_a_dependency_that_has_done_its_work_has_done_it_after_a_restart_too(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.declare(document("job", restartPolicy="Never"), document("app", dependsOn=["job"]))
    harness.docker.end(harness.docker.only().id, code=0)
    harness.wake("job")
    harness.advance(2)
    (job,) = [seen for seen in harness.docker.instances.values() if seen.owner.key.name == "job"]
    harness.docker.remove(job.id)
    harness.restart()
    harness.advance(2)
    assert harness.phase("job") == Phase.SUCCEEDED
    assert harness.condition("app", ConditionType.READY)[0] == "True"


def test_departing_sandboxes_that_depend_on_each_other_do_not_wait_for_ever(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.declare(document("a"), document("b", dependsOn=["a"]))
    harness.advance(3)
    harness.declare(document("a", dependsOn=["b"]), document("b", dependsOn=["a"]))
    harness.advance(1)
    harness.declare()
    harness.advance(1)
    assert harness.docker.instances == {}
