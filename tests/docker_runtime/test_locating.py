"""Where the engine is found: as Docker's own client looks for it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from controller.model.errors import EngineUnavailableError
from controller.runtime.docker.locate import DEFAULT_SOCKET, engine_socket


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose Docker settings choose the context `rootless`; `far` is remote and `broken` cannot be read."""
    settings = tmp_path / ".docker"
    for name, meta in (
        ("rootless", json.dumps({"Endpoints": {"docker": {"Host": "unix:///run/user/1000/docker.sock"}}})),
        ("far", json.dumps({"Endpoints": {"docker": {"Host": "ssh://me@example.org"}}})),
        ("broken", "{"),
    ):
        folder = settings / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
        folder.mkdir(parents=True)
        (folder / "meta.json").write_text(meta)
    (settings / "config.json").write_text('{"currentContext": "rootless"}')
    return tmp_path


def test_what_was_given_comes_first(home: Path) -> None:
    env = {"HOME": str(home), "DOCKER_HOST": "unix:///elsewhere.sock"}
    assert engine_socket("unix:///given.sock", env) == "/given.sock"
    assert engine_socket("/given.sock", env) == "/given.sock"


def test_docker_host_comes_before_contexts(home: Path) -> None:
    env = {"HOME": str(home), "DOCKER_HOST": "unix:///elsewhere.sock", "DOCKER_CONTEXT": "far"}
    assert engine_socket(None, env) == "/elsewhere.sock"


def test_the_current_context_is_followed(home: Path) -> None:
    assert engine_socket(None, {"HOME": str(home)}) == "/run/user/1000/docker.sock"


def test_another_context_can_be_chosen(home: Path) -> None:
    assert engine_socket(None, {"HOME": str(home), "DOCKER_CONTEXT": "default"}) == DEFAULT_SOCKET


def test_dockers_settings_can_lie_elsewhere(home: Path) -> None:
    assert engine_socket(None, {"DOCKER_CONFIG": str(home / ".docker")}) == "/run/user/1000/docker.sock"


def test_without_settings_it_is_the_default(tmp_path: Path) -> None:
    assert engine_socket(None, {"HOME": str(tmp_path)}) == DEFAULT_SOCKET


def test_settings_that_cannot_be_read_choose_nothing(home: Path) -> None:
    (home / ".docker/config.json").write_text("{")
    assert engine_socket(None, {"HOME": str(home)}) == DEFAULT_SOCKET


@pytest.mark.parametrize("host", ["tcp://127.0.0.1:2375", "ssh://me@example.org", "npipe:////./pipe/docker", "fd://"])
def test_only_a_unix_socket_is_local(home: Path, host: str) -> None:
    with pytest.raises(EngineUnavailableError, match="DOCKER_HOST names") as caught:
        engine_socket(None, {"HOME": str(home), "DOCKER_HOST": host})
    assert caught.value.reason == "EngineNotLocal"


def test_a_remote_context_is_named(home: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="context 'far' names ssh://") as caught:
        engine_socket(None, {"HOME": str(home), "DOCKER_CONTEXT": "far"})
    assert caught.value.reason == "EngineNotLocal"


@pytest.mark.parametrize("name", ["broken", "missing"])
def test_a_context_without_a_readable_endpoint_is_named(home: Path, name: str) -> None:
    with pytest.raises(EngineUnavailableError, match=f"context '{name}'.*docker context use"):
        engine_socket(None, {"HOME": str(home), "DOCKER_CONTEXT": name})
