"""A sandbox of the Python API moves from directory to container and back, on one workspace, or stays as it was."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from docker import DockerClient

from controller import SandboxBuilder
from tests.api.conftest import MakeBuilder, small
from tests.support.engine import PrivateEngine

pytestmark = pytest.mark.docker
MOVE = """import sys
from controller import SandboxBuilder
SandboxBuilder(sys.argv[1]).migrate(sys.argv[2], "container")
"""


@pytest.fixture
def builder(make_builder: MakeBuilder) -> SandboxBuilder:
    """In container mode; it moves sandboxes either way."""
    return make_builder("container")


def run(builder: SandboxBuilder, id: str, command: str) -> str:
    done = builder.execute_in_sandbox(id, "run_command", command=command)
    assert done["exit_code"] == 0, done
    return str(done["stdout"])


def test_a_sandbox_moves_there_and_back_on_its_workspace(
    builder: SandboxBuilder, skill: Path, docker_client: DockerClient
) -> None:
    id = builder.build_from_skill_file(skill)
    run(builder, id, "echo one > a")
    first = builder.get_sandbox_info(id)
    directory = builder.migrate(id, isolation_mode="directory")
    assert (directory["isolation_mode"], directory["status"]) == ("directory", "running")
    assert "container_id" not in directory
    assert docker_client.containers.list(all=True, filters={"name": id}) == []
    assert run(builder, id, "cat a; echo two >> a") == "one\n"
    container = builder.migrate(id, isolation_mode="container")
    assert run(builder, id, "cat a") == "one\ntwo\n"
    assert first is not None
    assert container["workspace_path"] == first["workspace_path"]
    (only,) = docker_client.containers.list(all=True, filters={"name": id})
    assert only.id == container["container_id"]


def test_it_can_move_into_another_configuration(builder: SandboxBuilder, skill: Path) -> None:
    id = builder.build_from_skill_file(skill)
    builder.migrate(id, "directory")
    builder.migrate(id, "container", replace(small(), environment_vars={"NOW": "here"}))
    assert run(builder, id, "echo $NOW") == "here\n"


def test_to_move_where_it_is_changes_nothing(builder: SandboxBuilder, skill: Path) -> None:
    id = builder.build_from_skill_file(skill)
    before = builder.get_sandbox_info(id)
    assert builder.migrate(id, "container") == before


def test_a_move_that_is_refused_is_a_value_error(builder: SandboxBuilder, skill: Path) -> None:
    id = builder.build_from_skill_file(skill)
    with pytest.raises(ValueError, match="isolation_mode 'vm'"):
        builder.migrate(id, "vm")
    with pytest.raises(ValueError, match="volumes: a directory sandbox has no mounts"):
        builder.migrate(id, "directory", replace(small(), volumes={"/srv": {"bind": "/data"}}))
    assert run(builder, id, "echo on") == "on\n"


@pytest.mark.root
@pytest.mark.parametrize(
    ("image", "why"),
    [("nothere:1", "cannot be pulled"), ("broken:1", "exit 127")],
    ids=["an image that is not there", "one in which nothing runs"],
)
def test_a_move_that_fails_leaves_the_old_one_with_its_processes(
    image: str, why: str, builder: SandboxBuilder, make_builder: MakeBuilder, skill: Path, docker_client: DockerClient
) -> None:
    _tag_empty(docker_client, "broken:1")
    id = make_builder("directory").build_from_skill_file(skill)
    before = _lasting_process(builder, id)
    with pytest.raises(RuntimeError, match="stays a directory, as it was") as raised:
        builder.migrate(id, "container", small(image=image))
    assert why in str(raised.value)
    info = builder.get_sandbox_info(id)
    assert info is not None
    assert (info["isolation_mode"], info["status"]) == ("directory", "running")
    assert before.is_running()
    assert before.status() == psutil.STATUS_SLEEPING
    assert docker_client.containers.list(all=True, filters={"name": id}) == []
    assert run(builder, id, "echo on") == "on\n"


@pytest.mark.root
def test_a_move_to_an_engine_that_is_away_touches_nothing(
    disposable_engine: PrivateEngine, base: Path, skill: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", disposable_engine.docker_host)
    with SandboxBuilder(base, "directory", small()) as builder:
        id = builder.build_from_skill_file(skill)
        before = _lasting_process(builder, id)
        disposable_engine.kill()
        with pytest.raises(RuntimeError, match="needs Docker"):
            builder.migrate(id, "container")
        assert before.is_running()
        assert run(builder, id, "echo on") == "on\n"


@pytest.mark.root
def test_a_move_that_was_killed_amid_is_taken_back_by_the_next_call(
    builder: SandboxBuilder, skill: Path, base: Path, docker_client: DockerClient
) -> None:
    """Its old one is frozen by then: whoever comes next has it go on."""
    id = builder.build_from_skill_file(skill)
    run(builder, id, "echo kept > a")
    builder.migrate(id, "directory")
    moving = subprocess.Popen([sys.executable, "-c", MOVE, str(base), id])
    deadline = time.monotonic() + 20
    while not docker_client.containers.list(filters={"name": id}):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    moving.kill()
    moving.wait()
    assert run(builder, id, "cat a") == "kept\n"
    info: dict[str, Any] = builder.get_sandbox_info(id) or {}
    assert (info["isolation_mode"], info["status"]) == ("directory", "running")
    assert docker_client.containers.list(all=True, filters={"name": id}) == []


def _lasting_process(builder: SandboxBuilder, id: str) -> psutil.Process:
    """A process of the sandbox that nobody waits for, left by a tool that stays under way."""
    threading.Thread(
        target=lambda: builder.execute_in_sandbox(id, "run_command", command="exec sleep 4242", timeout=60), daemon=True
    ).start()
    deadline = time.monotonic() + 10
    while True:
        found = [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", "4242"]]
        if found:
            return found[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _tag_empty(client: DockerClient, name: str) -> None:
    """An image with nothing to run in it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    client.api.import_image_from_data(content.getvalue(), *name.split(":"))
