"""Limits changed in place: the same container and process, each limit up and down, and never below what is used."""

from __future__ import annotations

from pathlib import Path

import pytest
from docker import DockerClient

from controller.model.errors import CannotRunError, ConflictError, ResizePendingError
from controller.model.spec import Limits
from controller.runtime.cgroup.hierarchy import Hierarchy
from controller.runtime.cgroup.limits import CgroupLimits, read_limits
from tests.docker_runtime.bench import Bench

pytestmark = pytest.mark.docker
MIB = 1 << 20
FIRST = Limits(memory=64 * MIB, cpu=500, pids=32)


def in_force(pid: int | None) -> CgroupLimits:
    assert pid is not None
    paths = Hierarchy.detect().paths_of(pid)
    assert paths is not None
    return read_limits(paths)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(memory=128 * MIB, cpu=500, pids=32),
        Limits(memory=32 * MIB, cpu=500, pids=32),
        Limits(memory=64 * MIB, cpu=1500, pids=32),
        Limits(memory=64 * MIB, cpu=50, pids=32),
        Limits(memory=64 * MIB, cpu=5, pids=32),
        Limits(memory=64 * MIB, cpu=500, pids=64),
        Limits(memory=64 * MIB, cpu=500, pids=8),
        Limits(memory=96 * MIB, cpu=100, pids=16),
    ],
    ids=lambda limits: f"{limits.memory // MIB}Mi,{limits.cpu}m,{limits.pids}",
)
def test_each_limit_goes_up_and_down_in_place(bench: Bench, limits: Limits) -> None:
    seen = bench.run()
    bench.runtime.update(seen.id, limits)
    after = bench.look("web", seen.id)
    assert (after.id, after.pid, after.started_at) == (seen.id, seen.pid, seen.started_at)
    assert (after.limits.memory, after.limits.cpu, after.limits.pids) == (limits.memory, limits.cpu, limits.pids)
    live = in_force(after.pid)
    assert (live.memory, live.swap, live.cpu, live.pids) == (limits.memory, 0, limits.cpu, limits.pids)
    bench.runtime.update(seen.id, FIRST)
    back = in_force(seen.pid)
    assert (back.memory, back.swap, back.cpu, back.pids) == (FIRST.memory, 0, FIRST.cpu, FIRST.pids)


def test_less_memory_than_is_used_is_pending_and_changes_nothing(bench: Bench) -> None:
    seen = bench.run()
    bench.sh(seen.id, "dd if=/dev/zero of=/tmp/x bs=1M count=12")
    with pytest.raises(ResizePendingError, match="in use"):
        bench.runtime.update(seen.id, Limits(memory=10 * MIB, cpu=100, pids=8))
    live = in_force(seen.pid)
    assert (live.memory, live.cpu, live.pids) == (64 * MIB, 500, 32)
    bench.sh(seen.id, "rm /tmp/x")
    bench.runtime.update(seen.id, Limits(memory=10 * MIB, cpu=100, pids=8))
    assert bench.look("web", seen.id).pid == seen.pid


def test_what_the_kernel_itself_cannot_shrink_is_pending(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Usage can rise between our look and the engine's."""
    seen = bench.run()
    bench.sh(seen.id, "dd if=/dev/zero of=/tmp/x bs=1M count=12")
    monkeypatch.setattr(bench.runtime._meter, "sample", lambda *_: None)
    if in_force(seen.pid).swap is None or not Path("/sys/fs/cgroup/memory").exists():
        pytest.skip("cgroup v2 never refuses")
    with pytest.raises(ResizePendingError, match="unable to set memory limit"):
        bench.runtime.update(seen.id, Limits(memory=10 * MIB, cpu=100, pids=8))
    assert in_force(seen.pid).memory == 64 * MIB


def test_fewer_pids_than_run_is_pending_and_changes_nothing(bench: Bench) -> None:
    script = "for i in 1 2 3 4 5; do sleep 600 & done; echo up; wait"
    seen = bench.run(spec={"command": ["sh", "-c", script]})
    assert next(iter(bench.runtime.logs(seen.id, follow=True))) == b"up\n"
    with pytest.raises(ResizePendingError, match="processes run"):
        bench.runtime.update(seen.id, Limits(memory=64 * MIB, cpu=500, pids=4))
    assert in_force(seen.pid).pids == 32


def test_less_memory_than_the_engine_allows_is_refused_by_name(bench: Bench) -> None:
    seen = bench.run()
    with pytest.raises(CannotRunError, match="6Mi"):
        bench.runtime.update(seen.id, Limits(memory=5 * MIB, cpu=500, pids=32))


def test_more_cpu_than_the_machine_has_is_clamped(bench: Bench) -> None:
    seen = bench.run()
    bench.runtime.update(seen.id, Limits(memory=64 * MIB, cpu=999_000, pids=32))
    assert bench.look("web", seen.id).limits.cpu == bench.runtime.capabilities().max_cpu


def test_a_limit_cannot_be_taken_away(bench: Bench) -> None:
    seen = bench.run()
    with pytest.raises(ConflictError, match="memory, pids"):
        bench.runtime.update(seen.id, Limits(cpu=500))
    assert in_force(seen.pid).memory == 64 * MIB


def test_a_frozen_one_is_updated_too(bench: Bench) -> None:
    seen = bench.run()
    bench.runtime.pause(seen.id)
    bench.runtime.update(seen.id, Limits(memory=96 * MIB, cpu=100, pids=16))
    assert in_force(seen.pid).memory == 96 * MIB


def test_a_stopped_one_starts_with_its_new_limits(bench: Bench) -> None:
    seen = bench.run()
    bench.runtime.stop(seen.id, 1)
    bench.runtime.update(seen.id, Limits(memory=32 * MIB, cpu=100, pids=16))
    bench.runtime.start(seen.id)
    live = in_force(bench.look("web", seen.id).pid)
    assert (live.memory, live.swap, live.cpu, live.pids) == (32 * MIB, 0, 100, 16)


def test_an_update_is_one_call(bench: Bench, raw: DockerClient) -> None:
    """Limits that go up must pass memory and swap together, or the engine refuses them."""
    seen = bench.run()
    since = int(bench.clock.now()) - 1
    bench.runtime.update(seen.id, Limits(memory=512 * MIB, cpu=1000, pids=100))
    until = int(bench.clock.now()) + 1
    events = raw.api.events(since=since, until=until, filters={"container": seen.id, "event": "update"}, decode=True)
    assert len(list(events)) == 1
