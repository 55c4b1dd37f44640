"""Containers of the Python API: what a manifest makes them, under a name of their own, left alone by daemons."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient
from docker.models.containers import Container

from controller import ContainerConfig, ResourceLimits, SandboxBuilder
from controller.embedded.kept import Kept, SkillNote
from controller.embedded.manifest import manifest_of
from controller.model.identity import LABEL_INSTANCE, LABEL_UID
from tests.api.conftest import MakeBuilder, small
from tests.e2e.daemon import RunningDaemon
from tests.support import images

pytestmark = pytest.mark.docker
NOFILE = {"Name": "nofile", "Soft": 300, "Hard": 300}
EVERYTHING = ContainerConfig(
    base_image=images.PYTHON,
    resource_limits=ResourceLimits("96m", 0.5, 33, [NOFILE]),
    read_only=False,
    tmpfs=["/tmp:size=8m", "/var/tmp"],
    environment_vars={"B": "2", "A": "1"},
    working_dir="/workspace/below",
    user="4711:4712",
    cap_add=["CAP_CHOWN", "net_bind_service"],
)


@pytest.fixture
def builder(make_builder: MakeBuilder) -> SandboxBuilder:
    """In container mode."""
    return make_builder("container")


@pytest.fixture
def daemon(docker_host: str) -> Iterator[RunningDaemon]:
    """A daemon on the same engine."""
    with RunningDaemon(docker_host, tick="500ms") as running:
        yield running


def container_of(builder: SandboxBuilder, client: DockerClient, id: str) -> Container:
    info = builder.get_sandbox_info(id)
    assert info is not None
    return client.containers.get(info["container_id"])


def comparable(container: Container) -> dict[str, Any]:
    """What a container was made with, without whose it is: its name, labels, and where its workspace lies."""
    attributes = container.attrs
    workspace = next(mount["Source"] for mount in attributes["Mounts"] if "/workspaces/" in mount["Source"])
    text = json.dumps(attributes["HostConfig"]).replace(workspace, "WORKSPACE")
    config = {name: value for name, value in attributes["Config"].items() if name not in ("Hostname", "Labels")}
    return {"host": json.loads(text), "config": config}


@pytest.mark.parametrize("config", [small(), EVERYTHING, ContainerConfig()], ids=["small", "everything", "default"])
def test_a_manifest_and_the_api_make_the_same_container(
    config: ContainerConfig, builder: SandboxBuilder, skill: Path, daemon: RunningDaemon, docker_client: DockerClient
) -> None:
    id = builder.build_from_skill_file(skill, config)
    kept = Kept(id, SkillNote("x", "x"), "container", asdict(config))
    daemon.declare("twin", **{**manifest_of(kept)["spec"], "image": config.base_image})
    daemon.wait_ready("twin")
    declared = docker_client.containers.get(daemon.status("twin")["containerID"])
    built = container_of(builder, docker_client, id)
    assert comparable(built) == comparable(declared)
    contract = {row["limit"]: row["state"] for row in daemon.status("twin")["enforcement"]}
    assert contract["capabilities"] == "Enforced"


def test_a_container_is_named_after_its_sandbox_and_a_daemon_leaves_it_alone(
    builder: SandboxBuilder, skill: Path, daemon: RunningDaemon, docker_client: DockerClient
) -> None:
    id = builder.build_from_skill_file(skill)
    before = container_of(builder, docker_client, id)
    assert before.name == f"sandbox-{id}"
    assert before.labels[LABEL_UID] == id
    daemon.declare("web")
    daemon.wait_ready("web")
    daemon.call("POST", "/api/v1/reconcile")
    daemon.undeclare("web")
    daemon.wait_gone("web")
    time.sleep(1.5)  # some ticks
    after = container_of(builder, docker_client, id)
    assert (after.id, after.status) == (before.id, "running")
    assert before.labels[LABEL_INSTANCE] != daemon.call("GET", "/api/v1/daemon")["instance"]
    assert id not in json.dumps(daemon.sandboxes())


def test_the_sandboxes_user_owns_the_workspace_and_can_write_it(builder: SandboxBuilder, skill: Path) -> None:
    id = builder.build_from_skill_file(skill, replace(small(), user="4711:4712"))
    info = builder.get_sandbox_info(id)
    assert info is not None
    done = builder.execute_in_sandbox(id, "run_command", command="id -u; touch made && stat -c %u:%g made told")
    written = builder.execute_in_sandbox(id, "write_file", file_path="told", content="x")
    again = builder.execute_in_sandbox(id, "run_command", command="stat -c %u:%g made told; echo y >> told; cat told")
    assert done["stdout"].splitlines()[:2] == ["4711", "4711:4712"]
    assert again["stdout"].splitlines() == ["4711:4712", "4711:4712", "xy"]
    assert Path(written).stat().st_uid == 4711
    assert Path(info["workspace_path"]).stat().st_mode & 0o777 == 0o700


def test_a_folder_of_the_machine_is_bound_as_the_config_says(
    builder: SandboxBuilder, skill: Path, base: Path, tmp_path: Path
) -> None:
    shared = base.parent / f"{base.name}-shared"
    shared.mkdir()
    try:
        (shared / "a").write_text("from outside\n")
        shared.chmod(0o777)
        for mode, code in (("ro", 1), ("rw", 0)):
            config = replace(small(), volumes={str(shared): {"bind": "/data", "mode": mode}})
            id = builder.build_from_skill_file(skill, config)
            done = builder.execute_in_sandbox(id, "run_command", command="cat /data/a && touch /data/b")
            assert (done["stdout"], done["exit_code"]) == ("from outside\n", code)
    finally:
        for left in shared.iterdir():
            left.unlink()
        shared.rmdir()


@pytest.mark.parametrize("source", ["engine", "base", "missing"])
def test_neither_the_engines_socket_nor_sandboxes_of_others_are_bound(
    source: str, builder: SandboxBuilder, skill: Path, base: Path, docker_host: str
) -> None:
    path = {"engine": docker_host.removeprefix("unix://"), "base": str(base), "missing": "/no/such/folder"}[source]
    with pytest.raises(RuntimeError, match=r"never bound|does not exist"):
        builder.build_from_skill_file(skill, replace(small(), volumes={path: {"bind": "/data"}}))
    assert builder.cleanup_all() == 0


@pytest.mark.alone
@pytest.mark.skipif(os.geteuid() != 0, reason="it looks at the machine's networks")
def test_a_bridge_is_had_and_goes_with_its_last_container(
    builder: SandboxBuilder, skill: Path, docker_client: DockerClient
) -> None:
    id = builder.build_from_skill_file(skill, replace(small(), network_mode="bridge"))
    container = container_of(builder, docker_client, id)
    network = container.attrs["HostConfig"]["NetworkMode"]
    assert docker_client.networks.list(names=[network])
    assert builder.cleanup(id)
    assert docker_client.networks.list(names=[network]) == []


def test_memory_that_is_too_little_is_told_with_what_would_have_been_enough(
    builder: SandboxBuilder, skill: Path
) -> None:
    code = "x = bytearray(200 << 20); print(len(x))"
    id = builder.build_from_skill_file(skill, small(memory="64m"))
    with pytest.raises(RuntimeError, match=r"memory reached its limit of 64m; resource_limits.memory='") as raised:
        builder.execute_in_sandbox(id, "execute_code", code=code)
    enough = str(raised.value).split("resource_limits.memory='")[1].split("'")[0]
    other = builder.build_from_skill_file(skill, small(memory=enough))
    assert builder.execute_in_sandbox(other, "execute_code", code=code)["exit_code"] == 0
    assert builder.execute_in_sandbox(id, "execute_code", code="print(1)")["exit_code"] == 0


def test_processes_that_are_too_few_are_told_with_how_many_would_have_been_enough(
    builder: SandboxBuilder, skill: Path
) -> None:
    command = "for i in $(seq 40); do sleep 2 & done; wait"
    id = builder.build_from_skill_file(skill, small(pids_limit=20))
    with pytest.raises(RuntimeError, match=r"limit: pids is 20, .* would have been enough") as raised:
        builder.execute_in_sandbox(id, "run_command", command=command)
    enough = int(str(raised.value).split("pids_limit=")[1].split()[0])
    other = builder.build_from_skill_file(skill, small(pids_limit=max(enough, 50)))
    assert builder.execute_in_sandbox(other, "run_command", command=command)["exit_code"] == 0


def test_a_failure_of_its_own_is_no_limits(builder: SandboxBuilder, skill: Path) -> None:
    id = builder.build_from_skill_file(skill)
    assert builder.execute_in_sandbox(id, "run_command", command="kill -9 $$")["exit_code"] == 137


def test_an_image_that_cannot_be_had_leaves_nothing(builder: SandboxBuilder, skill: Path, base: Path) -> None:
    with pytest.raises(RuntimeError, match="nothere:1 cannot be pulled"):
        builder.build_from_skill_file(skill, small(image="nothere:1"))
    assert builder.cleanup_all() == 0
    assert list((base / "workspaces").glob("*")) == []


def test_one_that_was_stopped_or_removed_from_outside_comes_back_for_its_tools(
    builder: SandboxBuilder, skill: Path, docker_client: DockerClient
) -> None:
    id = builder.build_from_skill_file(skill)
    builder.execute_in_sandbox(id, "write_file", file_path="a", content="kept")
    container_of(builder, docker_client, id).kill()
    assert builder.execute_in_sandbox(id, "run_command", command="cat a")["stdout"] == "kept"
    container_of(builder, docker_client, id).pause()
    assert builder.execute_in_sandbox(id, "run_command", command="cat a")["stdout"] == "kept"
    container_of(builder, docker_client, id).remove(force=True)
    assert builder.execute_in_sandbox(id, "run_command", command="cat a")["stdout"] == "kept"


def test_cleaning_up_and_file_tools_are_quick(builder: SandboxBuilder, skill: Path) -> None:
    id = builder.build_from_skill_file(skill)
    builder.execute_in_sandbox(id, "write_file", file_path="a", content="x")
    took = []
    for _ in range(20):
        began = time.perf_counter()
        builder.execute_in_sandbox(id, "read_file", file_path="a")
        took.append(time.perf_counter() - began)
    assert sorted(took)[10] < 0.005
    began = time.perf_counter()
    builder.cleanup(id)
    assert time.perf_counter() - began < 0.5
