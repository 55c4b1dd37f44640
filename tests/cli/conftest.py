"""A daemon's real HTTP server over a plane that the test fills, and the command line against it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controller.cli.main import cli
from controller.config import socket_path
from controller.report.http import HttpConfig, HttpServer
from controller.report.metrics import Metrics
from controller.report.usage_history import UsageHistory
from tests.cli.plane import Plane

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., Result]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the caller's reaches a test."""
    for name in [name for name in os.environ if name.startswith("SANDKEEPER_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def plane() -> Plane:
    """What the daemon shows and remembers."""
    return Plane()


@pytest.fixture
def server(plane: Plane, tmp_path: Path) -> Iterator[HttpServer]:
    """What serves the plane."""
    history = UsageHistory()
    config = HttpConfig("", socket_path(tmp_path / "state"))
    serving = HttpServer(plane, Metrics("0.1.0", (), history), history, config)
    serving.start()
    yield serving
    serving.stop()


@pytest.fixture
def state_dir(server: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of the daemon that serves the plane."""
    monkeypatch.setenv("SANDKEEPER_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def run(state_dir: Path) -> Run:
    """Run a command line to its end, in this process, its output in a pipe."""

    def running(*arguments: str, stdin: bytes = b"") -> Result:
        return CliRunner().invoke(cli, arguments, input=stdin, prog_name="sandkeeper")

    return running


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a command line in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def starting(*arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "controller.cli", *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )
        started.append(process)
        return process

    yield starting
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's."""
    with tempfile.TemporaryDirectory(prefix="sk-") as made:
        yield Path(made)
