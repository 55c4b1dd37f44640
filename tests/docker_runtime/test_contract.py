"""The contract is what was read back from the live container, not what was asked for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from docker import DockerClient

from controller.model.observed import Assurance, ContractRow, Observed
from controller.runtime.cgroup.hierarchy import Hierarchy
from controller.runtime.docker.client import EngineClient
from controller.runtime.docker.live import live_process
from tests.docker_runtime.bench import Bench, desired

pytestmark = pytest.mark.docker


def rows(bench: Bench, seen: Observed, spec: Mapping[str, Any] | None = None) -> dict[str, ContractRow]:
    return {row.limit: row for row in bench.runtime.contract(seen, desired("web", spec).spec)}


def test_every_limit_and_the_profile_are_enforced_and_disk_is_measured(bench: Bench) -> None:
    found = rows(bench, bench.run())
    assert {name: (row.state, row.value) for name, row in found.items()} == {
        "memory": (Assurance.ENFORCED, "64Mi"),
        "swap": (Assurance.ENFORCED, "0"),
        "cpu": (Assurance.ENFORCED, "500m"),
        "pids": (Assurance.ENFORCED, "32"),
        "disk": (Assurance.MEASURED, "1Gi"),
        "openFiles": (Assurance.ENFORCED, "256"),
        "network": (Assurance.ENFORCED, "none"),
        "filesystem": (Assurance.ENFORCED, "read-only root"),
        "capabilities": (Assurance.ENFORCED, "none"),
        "seccomp": (Assurance.ENFORCED, "filter"),
        "user": (Assurance.ENFORCED, "10001:10001"),
    }
    assert all(row.mechanism for row in found.values())


def test_an_update_shows_at_once(bench: Bench, raw: DockerClient) -> None:
    seen = bench.run()
    raw.api.update_container(seen.id, mem_limit="96m", memswap_limit="96m")
    found = rows(bench, seen)
    assert found["memory"].value == "96Mi"


def test_reading_it_calls_no_engine(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = bench.run()
    monkeypatch.setattr(EngineClient, "_call", lambda *_, **__: pytest.fail("the engine was called"))
    started = bench.clock.monotonic()
    rows(bench, seen)
    assert bench.clock.monotonic() - started < 0.05


def test_limits_that_the_spec_does_not_set_have_no_row(bench: Bench) -> None:
    none = {"resources": {"limits": dict.fromkeys(("memory", "cpu", "pids", "disk", "openFiles"))}}
    found = rows(bench, bench.run(spec=none), none)
    assert set(found) == {"network", "filesystem", "capabilities", "seccomp", "user"}


def test_clamped_cpu_says_so(bench: Bench) -> None:
    much = {"resources": {"limits": {"cpu": "512"}}}
    row = rows(bench, bench.run(spec=much), much)["cpu"]
    assert row.state is Assurance.ENFORCED
    assert "clamped: the machine has" in row.reason


def test_a_writable_root_is_measured(bench: Bench) -> None:
    spec = {"filesystem": {"readOnlyRoot": False}}
    found = rows(bench, bench.run(spec=spec), spec)
    assert (found["filesystem"].state, found["filesystem"].value) == (Assurance.MEASURED, "writable root")
    assert found["disk"].mechanism == "walk of workspace and layers beside the tick"


def test_a_container_made_loosely_is_found_out(bench: Bench, raw: DockerClient) -> None:
    """Under our labels, but with everything left open."""
    seen = bench.create()
    labels = raw.api.inspect_container(seen.id)["Config"]["Labels"]
    bench.runtime.remove(seen.id)
    host = raw.api.create_host_config(
        network_mode="host", security_opt=["seccomp=unconfined"], tmpfs={"/tmp": "rw,exec"}, pids_limit=-1
    )
    made = raw.api.create_container("busybox:latest", ["sleep", "600"], name=seen.name, labels=labels, host_config=host)
    raw.api.start(made["Id"])
    found = rows(bench, bench.look("web", made["Id"]))
    loose = {name for name, row in found.items() if row.state is Assurance.UNENFORCEABLE}
    assert loose >= {"memory", "cpu", "pids", "openFiles", "network", "filesystem", "capabilities", "seccomp", "user"}
    assert all(row.reason for row in found.values() if row.state is Assurance.UNENFORCEABLE)
    assert found["network"].value != "none"
    assert found["user"].value == "0:0"


def test_what_cannot_be_seen_is_unenforceable_with_the_reason(bench: Bench) -> None:
    seen = bench.run()
    bench.runtime._hierarchy = Hierarchy(0, {})
    found = rows(bench, seen)
    assert {row.state for name, row in found.items() if name not in ("disk", "swap")} == {Assurance.UNENFORCEABLE}
    assert all("seen" in row.reason for row in found.values() if row.state is Assurance.UNENFORCEABLE)


def test_one_that_stands_has_no_contract(bench: Bench) -> None:
    assert rows(bench, bench.create()) == {}


def test_a_process_that_is_gone_tells_nothing() -> None:
    assert live_process(1 << 22) is None


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\x0cSeccomp:\t9", b"a\xc2\x85b\x1cc"])
def test_a_process_of_whatever_name_tells_all(name: bytes) -> None:
    rename = f"open('/proc/self/comm', 'wb').write({name!r}); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", rename], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        live = live_process(process.pid)
        process.communicate(b"\n")
    assert live is not None
    assert live.status["Seccomp"] in ("0", "2")
    assert "lo" in live.interfaces
    assert "/" in live.mounts
