"""Container mode without an engine: told by what is wrong and what to do, or a directory where that is asked for."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from controller import SandboxBuilder
from tests.api.conftest import small
from tests.support.engine import PrivateEngine


def test_no_engine_is_told_by_the_constructor(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    with pytest.raises(RuntimeError, match=r"needs Docker.*no engine at /nonexistent.*systemctl start docker"):
        SandboxBuilder(base, "container")


def test_an_engine_that_is_down_is_told_from_one_that_is_not_there(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with pytest.raises(RuntimeError, match=r"needs Docker.*nothing listens on"):
        SandboxBuilder(base, "container")


def test_an_engine_elsewhere_is_told(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    with pytest.raises(RuntimeError, match=r"needs Docker.*only an engine behind a unix socket"):
        SandboxBuilder(base, "container")


def test_a_directory_is_built_instead_only_where_that_is_asked_for(
    base: Path, skill: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    with pytest.warns(RuntimeWarning, match="no Docker engine, so that directory sandboxes are built"):
        builder = SandboxBuilder(base, "container", small(), fallback="directory")
    with builder:
        with pytest.warns(RuntimeWarning, match="no engine at /nonexistent") as told:
            id = builder.build_from_skill_file(skill)
        assert [each.filename for each in told if each.category is RuntimeWarning] == [__file__]
        info = builder.get_sandbox_info(id)
        assert info is not None
        assert info["isolation_mode"] == "directory"
        assert builder.execute_in_sandbox(id, "run_command", command="echo here")["stdout"] == "here\n"


def test_directory_mode_needs_no_engine(base: Path, skill: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    with SandboxBuilder(base, "directory", small()) as builder:
        id = builder.build_from_skill_file(skill)
        assert builder.execute_in_sandbox(id, "list_files") == []


@pytest.mark.docker
@pytest.mark.root
def test_an_engine_that_goes_and_comes_back_finds_its_sandboxes_again(
    disposable_engine: PrivateEngine, base: Path, skill: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", disposable_engine.docker_host)
    image = small().base_image
    disposable_engine.load_images(image)
    earlier = SandboxBuilder(base, "container", small())
    id = earlier.build_from_skill_file(skill)
    earlier.execute_in_sandbox(id, "write_file", file_path="a", content="kept")

    disposable_engine.kill()
    assert (earlier.get_sandbox_info(id) or {})["status"] == "unknown"
    assert earlier.execute_in_sandbox(id, "read_file", file_path="a") == "kept"  # it is a file of this machine
    with pytest.raises(RuntimeError, match="needs Docker"):
        earlier.build_from_skill_file(skill)
    with pytest.raises(RuntimeError, match="start"):
        earlier.execute_in_sandbox(id, "run_command", command="true")
    with pytest.raises(RuntimeError, match="needs Docker"):
        earlier.cleanup(id)
    with pytest.raises(RuntimeError, match="needs Docker"):
        SandboxBuilder(base, "container")
    assert earlier.get_sandbox_info(id) is not None
    earlier.close()

    disposable_engine.start()
    with SandboxBuilder(base, "container", small()) as later:
        assert (later.get_sandbox_info(id) or {})["status"] == "stopped"
        assert later.execute_in_sandbox(id, "run_command", command="cat a")["stdout"] == "kept"
        assert later.cleanup_all() == 1
