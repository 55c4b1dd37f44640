"""What containers use, in bytes and at once, and what is done where they are at their limits."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker import DockerClient

from controller import ResourceLimits, ResourceManager, SandboxBuilder
from controller.runtime.cgroup.hierarchy import Hierarchy
from controller.sandbox.container_config import ContainerConfig
from tests.api.conftest import MakeBuilder
from tests.support import images

pytestmark = pytest.mark.docker
MIB = 1 << 20
BUSY = "import time\nx = bytearray(60 << 20)\nend = time.time() + 30\nwhile time.time() < end: pass"
KEYS = (
    "cpu_percent",
    "memory_usage",
    "memory_limit",
    "memory_percent",
    "network_rx",
    "network_tx",
    "pids",
    "timestamp",
)


@pytest.fixture
def builder(make_builder: MakeBuilder) -> SandboxBuilder:
    """In container mode."""
    return make_builder("container")


@pytest.fixture
def manager(builder: SandboxBuilder) -> Iterator[ResourceManager]:
    """On the same engine."""
    found = ResourceManager()
    yield found
    found.close()


def busy(builder: SandboxBuilder, id: str, code: str = BUSY) -> None:
    """Keep a core and 60 MiB busy in it until it is removed."""

    def work() -> None:
        try:
            builder.execute_in_sandbox(id, "execute_code", code=code, timeout=40)
        except (RuntimeError, ValueError):
            return  # it was ended

    threading.Thread(target=work, daemon=True).start()


def until_busy(manager: ResourceManager, id: str) -> None:
    deadline = time.monotonic() + 15
    while manager.get_container_stats(id)["memory_usage"] < 60 * MIB:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_idle_container_uses_next_to_nothing(builder: SandboxBuilder, manager: ResourceManager, skill: Path) -> None:
    id = builder.build_from_skill_file(skill)
    stats = manager.get_container_stats(id)
    assert tuple(stats) == KEYS
    assert stats["cpu_percent"] < 50
    assert 0 < stats["memory_usage"] < 30 * MIB
    assert stats["memory_limit"] == 128 * MIB
    assert stats["memory_percent"] == pytest.approx(100 * stats["memory_usage"] / (128 * MIB), abs=0.01)
    assert (stats["network_rx"], stats["network_tx"]) == (0, 0)
    assert 1 <= stats["pids"] <= 10
    assert abs(stats["timestamp"] - time.time()) < 5


def test_a_busy_one_shows_what_it_uses(builder: SandboxBuilder, manager: ResourceManager, skill: Path) -> None:
    id = builder.build_from_skill_file(skill)
    busy(builder, id)
    until_busy(manager, id)
    time.sleep(0.3)
    stats = manager.get_container_stats(id)
    assert 20 < stats["cpu_percent"] < 130
    assert 60 * MIB <= stats["memory_usage"] < 128 * MIB


def test_it_answers_in_milliseconds(builder: SandboxBuilder, manager: ResourceManager, skill: Path) -> None:
    id = builder.build_from_skill_file(skill)
    manager.get_container_stats(id)
    took = []
    for _ in range(10):
        time.sleep(0.03)
        began = time.perf_counter()
        manager.get_container_stats(id)
        took.append(time.perf_counter() - began)
    assert sorted(took)[5] < 0.02


def test_a_container_is_found_by_its_own_id_and_by_its_sandboxs_from_any_process(
    builder: SandboxBuilder, manager: ResourceManager, skill: Path
) -> None:
    id = builder.build_from_skill_file(skill)
    info = builder.get_sandbox_info(id)
    assert info is not None
    limits = {manager.get_container_stats(each)["memory_limit"] for each in (id, info["container_id"], f"sandbox-{id}")}
    assert limits == {128 * MIB}
    script = (
        "import json, sys; from controller import ResourceManager; "
        "print(json.dumps(ResourceManager().get_container_stats(sys.argv[1])))"
    )
    done = subprocess.run([sys.executable, "-c", script, id], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["memory_limit"] == 128 * MIB


def test_where_no_cgroup_is_seen_the_engine_is_asked(
    builder: SandboxBuilder, skill: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = builder.build_from_skill_file(skill)
    monkeypatch.setattr(Hierarchy, "paths_of", lambda *_: None)
    stats = ResourceManager().get_container_stats(id)
    assert (stats["memory_limit"], stats["pids"] > 0) == (128 * MIB, True)


def test_a_docker_py_client_tells_the_engine(builder: SandboxBuilder, skill: Path, docker_host: str) -> None:
    client = docker.DockerClient(docker_host)
    id = builder.build_from_skill_file(skill)
    assert ResourceManager(client).get_container_stats(id)["memory_limit"] == 128 * MIB
    client.close()
    with pytest.raises(ValueError, match=r"must be a docker\.DockerClient"):
        ResourceManager(object())


def test_what_is_unknown_or_does_not_run_is_told(
    builder: SandboxBuilder, manager: ResourceManager, skill: Path, docker_client: DockerClient
) -> None:
    with pytest.raises(ValueError, match="not found"):
        manager.get_container_stats("nothing")
    with pytest.raises(ValueError, match="cannot be empty"):
        manager.get_container_stats(" ")
    id = builder.build_from_skill_file(skill)
    docker_client.containers.get(f"sandbox-{id}").kill()
    with pytest.raises(RuntimeError, match="does not run"):
        manager.get_container_stats(id)


def test_no_engine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    with pytest.raises(RuntimeError, match="needs Docker"):
        ResourceManager()


def test_one_within_its_limits_is_left_alone(builder: SandboxBuilder, manager: ResourceManager, skill: Path) -> None:
    id = builder.build_from_skill_file(skill)
    result = manager.enforce_limits(id, action_on_exceed="kill")
    assert (result["exceeded"], result["violations"], result["action_taken"]) == (False, [], "none")
    assert tuple(result["stats"]) == KEYS
    assert manager.get_exceeded_containers() == {}


@pytest.mark.parametrize(("action", "done", "status"), [("warn", "warned", "running"), ("kill", "killed", "stopped")])
def test_one_past_a_given_limit_is_told_and_acted_on(
    action: str, done: str, status: str, builder: SandboxBuilder, manager: ResourceManager, skill: Path
) -> None:
    id = builder.build_from_skill_file(skill)
    busy(builder, id)
    until_busy(manager, id)
    config = ContainerConfig(resource_limits=ResourceLimits(memory="32m", cpus=0.001, pids_limit=2))
    result = manager.enforce_limits(id, config, action_on_exceed=action)
    assert (result["exceeded"], result["action_taken"]) == (True, done)
    assert [violation.partition(":")[0] for violation in result["violations"]] == ["cpu", "memory", "pids"]
    (seen,) = manager.get_exceeded_containers().values()
    assert seen["exceeded_count"] == 1
    assert (builder.get_sandbox_info(id) or {})["status"] == status


def test_a_kill_by_the_kernel_counts_once(builder: SandboxBuilder, manager: ResourceManager, skill: Path) -> None:
    id = builder.build_from_skill_file(skill)
    with pytest.raises(RuntimeError, match="memory reached its limit"):
        builder.execute_in_sandbox(id, "execute_code", code="bytearray(300 << 20)")
    assert "the kernel killed 1" in manager.enforce_limits(id)["violations"][0]
    assert manager.enforce_limits(id)["exceeded"] is False


def test_those_that_exceed_for_long_or_often_are_stopped(
    builder: SandboxBuilder, manager: ResourceManager, skill: Path
) -> None:
    often, once = builder.build_from_skill_file(skill), builder.build_from_skill_file(skill)
    strict = ContainerConfig(resource_limits=ResourceLimits(pids_limit=2))
    for _ in range(3):
        manager.enforce_limits(often, strict)
    manager.enforce_limits(once, strict)
    assert manager.get_exceeded_containers()[often]["exceeded_count"] == 3
    assert manager.cleanup_exceeded_containers(exceeded_duration=300, max_exceeded_count=3) == [often]
    assert [(builder.get_sandbox_info(id) or {})["status"] for id in (often, once)] == ["stopped", "running"]
    assert list(manager.get_exceeded_containers()) == [once]
    manager.reset_tracking(once)
    assert manager.get_exceeded_containers() == {}
    assert manager.cleanup_exceeded_containers(0, 1, "kill") == []


@pytest.mark.parametrize("action", ["pause", ""])
def test_an_action_that_is_not_known_is_refused(action: str, manager: ResourceManager) -> None:
    with pytest.raises(ValueError, match="must be"):
        manager.enforce_limits("x", action_on_exceed=action)
    with pytest.raises(ValueError, match="must be"):
        manager.cleanup_exceeded_containers(action=action)


def test_what_sandkeeper_did_not_make_is_measured_and_never_ended(
    manager: ResourceManager, docker_client: DockerClient
) -> None:
    other = docker_client.containers.run(
        images.PYTHON, ["sleep", "60"], detach=True, network_mode="none", mem_limit="64m"
    )
    id = str(other.id)
    try:
        assert manager.get_container_stats(id)["memory_limit"] == 64 * MIB
        strict = ContainerConfig(resource_limits=ResourceLimits(memory="6m", pids_limit=2, cpus=0.001))
        docker_client.api.exec_start(docker_client.api.exec_create(id, ["sleep", "50"])["Id"], detach=True)
        with pytest.raises(RuntimeError, match="not made by sandkeeper"):
            manager.enforce_limits(id, strict, action_on_exceed="kill")
        other.reload()
        assert other.status == "running"
    finally:
        other.remove(force=True)
