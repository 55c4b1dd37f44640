"""Measurements: from the cgroup's files, and from the engine's stats where those cannot be seen."""

from __future__ import annotations

import dataclasses

import pytest
from docker import DockerClient

from controller.model.observed import InstanceState
from controller.runtime.cgroup.hierarchy import Hierarchy
from controller.runtime.docker.client import EngineClient
from controller.runtime.docker.group import group_of
from tests.docker_runtime.bench import Bench, until

pytestmark = pytest.mark.docker


def test_memory_cpu_and_processes_are_those_of_the_container(bench: Bench) -> None:
    seen = bench.run()
    first = bench.runtime.usage([seen])[seen.id]
    assert (first.pids, first.oom_kills, first.mechanism) == (2, 0, "cgroup")
    bench.sh(seen.id, "dd if=/dev/zero of=/tmp/x bs=1M count=8; i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done")
    second = bench.runtime.usage([seen])[seen.id]
    assert second.working_set - first.working_set > 7 << 20
    assert second.cpu_seconds > first.cpu_seconds
    assert bench.clock.now() - second.at < 5


def test_a_tick_makes_no_call_on_the_engine(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = bench.run()
    monkeypatch.setattr(EngineClient, "_call", lambda *_, **__: pytest.fail("the engine was called"))
    assert bench.runtime.usage([seen]).keys() == {seen.id}


def test_the_disk_is_workspace_and_writable_layer(bench: Bench) -> None:
    seen = bench.run(spec={"filesystem": {"readOnlyRoot": False}, "user": "0:0"})
    script = "dd if=/dev/zero of=/workspace/a bs=1M count=3; dd if=/dev/zero of=/var/b bs=1M count=2"
    assert bench.sh(seen.id, script)[0] == 0
    assert 5 << 20 <= until(lambda: bench.runtime.usage([seen])[seen.id].disk) < 6 << 20
    age = bench.runtime.usage([seen])[seen.id].disk_age
    assert age is not None
    assert 0 <= age < 30


def test_a_frozen_one_is_measured_and_one_that_stands_is_not(bench: Bench) -> None:
    seen = bench.run()
    bench.runtime.pause(seen.id)
    frozen = bench.look("web", seen.id)
    assert bench.runtime.usage([frozen]).keys() == {seen.id}
    bench.runtime.kill(seen.id)
    assert bench.runtime.usage([frozen]) == {}
    assert bench.runtime.usage([bench.look("web", seen.id)]) == {}


def test_one_that_was_started_again_is_measured_anew(bench: Bench) -> None:
    seen = bench.run()
    bench.sh(seen.id, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
    before = bench.runtime.usage([seen])[seen.id]
    bench.runtime.kill(seen.id)
    bench.runtime.start(seen.id)
    again = bench.look("web", seen.id)
    after = bench.runtime.usage([again])[seen.id]
    assert after.cpu_seconds < before.cpu_seconds


def test_kills_by_the_kernel_are_counted_though_it_runs_on(bench: Bench) -> None:
    seen = bench.run(spec={"filesystem": {"tmpfs": {}}})
    bench.runtime.usage([seen])
    bench.sh(seen.id, "tail -c 200m /dev/zero")
    bench.sh(seen.id, "tail -c 200m /dev/zero")
    assert bench.runtime.usage([seen])[seen.id].oom_kills == 2
    assert bench.look("web", seen.id).state is InstanceState.RUNNING


def test_a_pid_of_somebody_else_is_not_measured(bench: Bench) -> None:
    """As where the engine lives in another pid namespace, or a pid was used again."""
    seen, other = bench.run(), bench.run("other")
    assert other.pid is not None
    assert group_of(Hierarchy.detect(), seen.id, other.pid) is None
    assert bench.runtime.usage([dataclasses.replace(seen, pid=other.pid)]) == {}


def test_where_no_cgroup_is_seen_the_engine_is_asked_beside_the_tick(bench: Bench, raw: DockerClient) -> None:
    seen = bench.run()
    bench.runtime._meter._hierarchy = Hierarchy(0, {})
    assert bench.runtime.usage([seen]) == {}
    asked = until(lambda: bench.runtime.usage([seen]).get(seen.id))
    assert (asked.mechanism, asked.pids) == ("engine stats", 2)
    assert asked.working_set > 0
    assert asked.cpu_seconds > 0
    assert bench.clock.now() - asked.at < 10


def test_nothing_is_kept_of_what_is_no_longer_measured(bench: Bench) -> None:
    seen = bench.run()
    bench.runtime.usage([seen])
    meter = bench.runtime._meter
    assert meter._reader.attached(seen.id)
    bench.runtime.usage([])
    assert (meter._reader.attached(seen.id), meter._pids, meter._walked) == (False, {}, {})
