"""doctor on the engine: reachable or why not, and what to do."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from controller.cli.probes import engine as engine_probe
from controller.cli.probes.engine import probe_engine
from controller.cli.probes.finding import Finding, Level, Setup
from tests.cli.engine import INFO, engine


def engine_findings(address: str) -> dict[str, Finding]:
    """What the engine's probe finds, by check."""
    return {finding.check: finding for finding in probe_engine(Setup(Path("/nonexistent"), address))}


def test_the_engine_tells_its_version_limits_runtimes_and_disk(short_folder: Path) -> None:
    with engine(short_folder / "e.sock", INFO) as address:
        found = engine_findings(address)
    assert found["engine"].message == f"20.10.24 on {short_folder}/e.sock (overlay2, cgroup v1 by cgroupfs)"
    assert found["runtimes"].message == "runc, runsc, runc by default"
    assert "free on /" in found["engine space"].message
    assert found["image"].message == "python:3.11-slim is there, 119Mi"


def test_an_engine_that_cannot_limit_is_a_warning(short_folder: Path) -> None:
    """It names the limits that are not in force."""
    with engine(short_folder / "e.sock", {**INFO, "SwapLimit": False, "Runtimes": {"runc": {}}}) as address:
        found = engine_findings(address)
    assert found["engine"].level is Level.WARN
    assert "it cannot limit swap" in found["engine"].message
    assert found["runtimes"].message.endswith("gvisor (runsc) is not installed")


def test_an_engine_that_is_down_says_so(short_folder: Path) -> None:
    """Its socket is there and nobody listens, or it is gone while the engine is installed."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(short_folder / "e.sock"))
    down = engine_findings(f"unix://{short_folder}/e.sock")["engine"]
    assert (down.level, down.advice) == (Level.FAIL, "systemctl start docker")


def test_without_any_engine_there_is_only_a_warning(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directory sandboxes need none."""
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    found = engine_findings(f"unix://{short_folder}/none.sock")["engine"]
    assert found.level is Level.WARN
    assert "directory sandboxes can" in found.message


@pytest.mark.root
def test_an_engine_whose_socket_may_not_be_opened(short_folder: Path) -> None:
    """The group is what is to be joined."""
    with engine(short_folder / "e.sock", INFO) as address:
        short_folder.chmod(0o755)
        (short_folder / "e.sock").chmod(0o600)
        os.seteuid(65534)
        try:
            found = engine_findings(address)["engine"]
        finally:
            os.seteuid(0)
    assert found.level is Level.FAIL
    assert "usermod -aG docker" in found.advice


def test_an_engine_that_hangs_is_not_waited_for_long(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and never answers."""
    monkeypatch.setattr(engine_probe, "_PATIENCE", 0.05)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(short_folder / "e.sock"))
        mute.listen()
        assert "it hangs" in engine_findings(f"unix://{short_folder}/e.sock")["engine"].message


@pytest.mark.parametrize(("answer", "status"), [({"message": "no disk left"}, 500), ([], 200), ({}, 404)])
def test_an_engine_that_answers_with_an_error(short_folder: Path, answer: Any, status: int) -> None:
    """Whatever is behind the socket."""
    with engine(short_folder / "e.sock", answer, status) as address:
        found = engine_findings(address)["engine"]
    assert found.level is Level.FAIL
    assert f"{short_folder}/e.sock answers with:" in found.message


def test_a_remote_engine_is_refused(short_folder: Path) -> None:
    """Only local ones, for now."""
    found = engine_findings("tcp://10.0.0.1:2375")["engine"]
    assert found.level is Level.FAIL
    assert "DOCKER_HOST=unix://" in found.advice


@pytest.mark.docker
def test_a_real_engine_is_understood(docker_host: str) -> None:
    """Its own words for version, driver and runtimes."""
    found = engine_findings(docker_host)
    assert {"engine", "runtimes"} <= set(found)
    assert "None" not in found["engine"].message
    assert "runc" in found["runtimes"].message


@pytest.mark.docker
def test_an_image_that_is_not_there_is_told_with_how_to_get_it(
    docker_host: str, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.cli.probes.engine.EMBEDDED", {"image": "nowhere:1"})
    missing = engine_findings(docker_host)["image"]
    assert missing.level is Level.WARN
    assert missing.advice.startswith("docker pull nowhere:1")
    monkeypatch.setattr("controller.cli.probes.engine.EMBEDDED", {"image": busybox_image})
    present = engine_findings(docker_host)["image"]
    assert present.level is Level.OK
    assert present.message.startswith(f"{busybox_image} is there, ")
