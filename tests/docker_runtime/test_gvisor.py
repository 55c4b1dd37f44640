"""gVisor beside runc: the same sandbox on another kernel, and what differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from docker import DockerClient

from controller.model.observed import Assurance, Observed
from controller.model.spec import Limits
from tests.docker_runtime.bench import Bench, desired, until

pytestmark = pytest.mark.docker
MIB = 1 << 20
SPEC: Mapping[str, Any] = {
    "runtimeClass": "gvisor",
    "resources": {"limits": {"memory": "256Mi", "cpu": "1", "pids": 16}},
}


@pytest.fixture
def seen(bench: Bench) -> Observed:
    """A running gVisor sandbox."""
    if "gvisor" not in bench.runtime.capabilities().runtime_classes:
        pytest.skip("this engine has no gVisor")
    return bench.run(spec=SPEC)


def test_its_kernel_is_not_the_machines(bench: Bench, seen: Observed) -> None:
    assert "gVisor" in bench.sh(seen.id, "dmesg")[1]


def test_the_profile_holds_inside(bench: Bench, seen: Observed) -> None:
    script = "id -u; grep CapEff /proc/self/status; ulimit -Hn; grep ' / ' /proc/mounts; touch /workspace/a /tmp/a"
    _, output = bench.sh(seen.id, script)
    lines = output.splitlines()
    assert {"10001", "CapEff:\t0000000000000000", "256"} <= set(lines)
    (root,) = [line for line in lines if " / " in line]
    assert "ro" in root.split()[3].split(",")
    assert (bench.state / "workspaces" / seen.owner.uid / "a").exists()


def test_its_limits_are_told_in_the_manifests_terms(bench: Bench, seen: Observed) -> None:
    assert (seen.limits.memory, seen.limits.cpu, seen.limits.pids) == (256 * MIB, 1000, 16)
    found = {row.limit: row for row in bench.runtime.contract(seen, desired("web", SPEC).spec)}
    assert {row.state for name, row in found.items() if name not in ("disk", "pids")} == {Assurance.ENFORCED}
    assert (found["memory"].value, found["cpu"].value) == ("256Mi", "1")
    assert (found["pids"].state, found["pids"].value) == (Assurance.UNENFORCEABLE, "320 threads")


def test_its_own_threads_are_not_told_as_processes_of_the_sandbox(bench: Bench, seen: Observed) -> None:
    usage = bench.runtime.usage([seen])[seen.id]
    assert usage.working_set > 0
    assert usage.pids is None


@pytest.mark.root
def test_its_limits_change_in_place_through_the_cgroup(bench: Bench, seen: Observed) -> None:
    """Its runtime has no update; the engine's own record follows when it is down."""
    wanted = Limits(memory=300_000_001, cpu=500, pids=8)
    bench.runtime.update(seen.id, wanted)
    after = bench.look("web", seen.id)
    assert after.pid == seen.pid
    assert (after.limits.memory, after.limits.cpu, after.limits.pids) == (300_000_001, 500, 8)
    bench.runtime.stop(seen.id, 1)
    assert bench.look("web", seen.id).limits.memory == 256 * MIB
    bench.runtime.update(seen.id, wanted)
    bench.runtime.start(seen.id)
    again = bench.look("web", seen.id)
    assert (again.limits.memory, again.limits.cpu, again.limits.pids) == (300_000_001, 500, 8)


def test_an_exec_that_times_out_is_killed_inside(bench: Bench, seen: Observed) -> None:
    started = bench.clock.monotonic()
    code, _ = bench.sh(seen.id, "setsid sleep 701 & sleep 702", timeout=1.0)
    assert code == 124
    assert bench.clock.monotonic() - started < 8
    assert until(lambda: "sleep 70" not in bench.sh(seen.id, "ps")[1])


def test_it_freezes_stops_and_is_removed(bench: Bench, seen: Observed, raw: DockerClient) -> None:
    bench.runtime.pause(seen.id)
    assert raw.api.inspect_container(seen.id)["State"]["Status"] == "paused"
    bench.runtime.unpause(seen.id)
    bench.runtime.stop(seen.id, 5)
    assert bench.ended(seen).code in (137, 143)
    bench.runtime.remove(seen.id)
