"""What a pull says to its registry: from Docker's own settings, and from helpers that may hang."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import psutil
import pytest

from controller.model.errors import RuntimeFailure
from controller.runtime.docker.registry_auth import registry_auth

REPOSITORY = "registry.example.org/team/image"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The caller's Docker settings, and a folder for helpers."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "config.json"


def helper(settings: Path, script: str) -> None:
    settings.write_text(json.dumps({"credHelpers": {"registry.example.org": "test"}}))
    program = settings.parent / "docker-credential-test"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def decoded(header: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(base64.urlsafe_b64decode(header))
    return found


def test_without_settings_nothing_is_said(settings: Path) -> None:
    assert not settings.exists()
    assert registry_auth(REPOSITORY, 5) == ""


def test_a_login_is_said_to_its_registry_alone(settings: Path) -> None:
    login = base64.b64encode(b"me:word").decode()
    settings.write_text(json.dumps({"auths": {"registry.example.org": {"auth": login}}}))
    said = decoded(registry_auth(REPOSITORY, 5))
    assert (said["username"], said["password"]) == ("me", "word")
    assert registry_auth("elsewhere.example.org/image", 5) == ""


def test_a_helper_is_asked(settings: Path) -> None:
    helper(settings, """read server; echo "{\\"Username\\": \\"me\\", \\"Secret\\": \\"$server\\"}" """)
    said = decoded(registry_auth(REPOSITORY, 20))
    assert (said["Username"], said["Password"]) == ("me", "registry.example.org")


def test_a_helper_that_fails_is_told_of(settings: Path) -> None:
    helper(settings, "echo no key ring; exit 1")
    with pytest.raises(RuntimeFailure, match=f"settings for {REPOSITORY} cannot be read: .*no key ring"):
        registry_auth(REPOSITORY, 20)


def test_a_helper_that_hangs_is_ended_with_its_children(settings: Path) -> None:
    helper(settings, f"sleep 600 & echo $! > {settings.parent}/pid; wait")
    started = time.monotonic()
    with pytest.raises(RuntimeFailure, match="did not answer within 2 s: see credsStore"):
        registry_auth(REPOSITORY, 2)
    assert time.monotonic() - started < 10
    sleeper = int((settings.parent / "pid").read_text())
    assert not psutil.pid_exists(sleeper) or psutil.Process(sleeper).status() == psutil.STATUS_ZOMBIE
