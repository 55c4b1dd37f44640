"""Every call as a user without rights: the sandboxes run as that user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import MODES
from tests.support.ordinary_user import ORDINARY, as_ordinary_user

pytestmark = pytest.mark.root
SCRIPT = """
import json, os, sys
from controller import ContainerConfig, ResourceLimits, ResourceManager, SandboxBuilder
base, mode, skill = sys.argv[1:]
config = ContainerConfig(resource_limits=ResourceLimits("128m", 1.0, 64))
told = {}
with SandboxBuilder(base, mode, config) as builder:
    id = builder.build_from_skill_file(skill)
    run = lambda tool, **arguments: builder.execute_in_sandbox(id, tool, **arguments)
    run("write_file", file_path="a/b.txt", content="hello")
    told["read"] = run("read_file", file_path="a/b.txt")
    told["list"] = run("list_files", directory_path="a")
    told["found"] = run("codebase_search", pattern="hel+o", path=".")
    told["user"] = run("run_command", command="id -u; echo more > a/c.txt; cat a/*")["stdout"].split()
    told["code"] = run("execute_code", code="print(6 * 7)")["stdout"]
    told["info"] = builder.get_sandbox_info(id)
    if mode == "container":
        told["stats"] = ResourceManager().get_container_stats(id)
        told["moved"] = [builder.migrate(id, each)["isolation_mode"] for each in ("directory", "container")]
        told["still"] = run("run_command", command="cat a/*")["stdout"]
    told["tools"] = builder.list_tools(id)
    told["cleanup"] = builder.cleanup(id)
    builder.build_from_skill_file(skill)
    told["all"] = builder.cleanup_all()
print(json.dumps(told))
"""


@pytest.fixture
def open_engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The session's engine, for everybody until the test ends."""
    host: str = request.getfixturevalue("docker_host")
    socket = Path(host.removeprefix("unix://"))
    before = [(path, path.stat().st_mode & 0o7777) for path in (socket.parent, socket)]
    socket.parent.chmod(0o711)
    socket.chmod(0o666)
    yield host
    for path, mode in before:
        path.chmod(mode)


def run_as_ordinary(base: Path, mode: str, skill: Path, host: str) -> subprocess.CompletedProcess[str]:
    os.chown(base, ORDINARY, ORDINARY)
    told = base.with_name(f"{base.name}.md")
    told.write_text(skill.read_text())
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(base),
        "DOCKER_HOST": host,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    words = [*as_ordinary_user(), sys.executable, "-c", SCRIPT, str(base), mode, str(told)]
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=environment)
    finally:
        told.unlink()


@pytest.mark.parametrize("mode", MODES)
def test_every_call_works_as_an_ordinary_user(
    mode: str, base: Path, skill: Path, request: pytest.FixtureRequest
) -> None:
    host = "unix:///nonexistent"
    if mode == "container":
        host = request.getfixturevalue("open_engine")
        request.getfixturevalue("python_image")
    done = run_as_ordinary(base, mode, skill, host)
    assert (done.returncode, done.stderr) == (0, "")
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["user"] == [str(ORDINARY), "hellomore"]
    assert (told["read"], told["list"], told["found"], told["code"]) == (
        "hello",
        ["b.txt"],
        ["a/b.txt:1:hello"],
        "42\n",
    )
    assert (told["cleanup"], told["all"]) == (True, 1)
    assert (told["info"]["status"], told["info"]["isolation_mode"]) == ("running", mode)
    if mode == "container":
        assert told["stats"]["memory_limit"] == 128 << 20
        assert told["moved"] == ["directory", "container"]
        assert told["still"] == "hellomore\n"


@pytest.mark.docker
def test_a_socket_that_may_not_be_opened_is_told_from_an_engine_that_is_down(
    base: Path, skill: Path, open_engine: str
) -> None:
    Path(open_engine.removeprefix("unix://")).chmod(0o600)
    done = run_as_ordinary(base, "container", skill, open_engine)
    assert "RuntimeError" in done.stderr or "SandboxError" in done.stderr
    assert "container mode needs Docker" in done.stderr
    assert "may not be opened by this user" in done.stderr
    assert "usermod -aG docker" in done.stderr
