"""How a daemon starts, refuses to start, stops, and lives beside others."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from controller.config import socket_path
from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import (
    FOREVER,
    declare,
    descriptors,
    is_alive,
    manifest,
    pid_of,
)


def run(daemon: RunningDaemon, *arguments: str, state_dir: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Another `sandkeeper run` on the same folder, to its end."""
    command = [sys.executable, "-m", "controller.cli", "run", "--manifests", str(daemon.manifests)]
    command += ["--state-dir", str(state_dir or daemon.state_dir), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, env=daemon.environment, check=False)


def test_a_second_daemon_on_one_state_folder_names_the_first_and_leaves_it_alone(engineless: RunningDaemon) -> None:
    second = run(engineless, "--listen", "127.0.0.1:0")
    assert second.returncode == 1
    assert f"pid {engineless.pid}" in second.stderr
    assert str(engineless.state_dir) in second.stderr
    assert "Traceback" not in second.stderr
    declare(engineless, "web", *FOREVER)
    engineless.wait_ready("web")


def test_a_port_that_is_taken_is_a_clear_error(engineless: RunningDaemon, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        second = run(engineless, "--listen", address, state_dir=tmp_path / "state")
    assert second.returncode == 64
    assert f"--listen {address}" in second.stderr
    assert "choose another port" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.parametrize("isolation", ["directory", pytest.param("container", marks=pytest.mark.docker)])
def test_two_daemons_on_one_folder_have_each_their_own(isolation: str, request: pytest.FixtureRequest) -> None:
    docker_host = None
    if isolation == "container":
        docker_host = request.getfixturevalue("docker_host")
        request.getfixturevalue("busybox_image")
    with RunningDaemon(docker_host) as first, RunningDaemon(docker_host) as second:
        for daemon in (first, second):
            if isolation == "container":
                daemon.declare("web")
            else:
                # Without its marker a process is known by its user alone, where no control group tells.
                declare(daemon, "web", "env", "-i", "sleep", "1000")
            daemon.wait_ready("web")
        mine, other = first.status("web"), second.status("web")
        if isolation == "directory" and os.geteuid() == 0:
            users = {Path(f"/proc/{status['pid']}").stat().st_uid for status in (mine, other)}
            assert len(users) == 2
        first.undeclare("web")
        first.wait_gone("web")
        second.cli("reconcile")
        assert second.status("web")["startedAt"] == other["startedAt"]
        if isolation == "directory":
            assert is_alive(other["pid"])
        else:
            assert second.status("web")["containerID"] == other["containerID"]
        assert second.condition("web", "Ready")["status"] == "True"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_daemon_within_a_second_and_no_sandbox(
    engineless: RunningDaemon, number: signal.Signals
) -> None:
    declare(engineless, "web", *FOREVER)
    engineless.wait_ready("web")
    pid = pid_of(engineless, "web")
    engineless.process.send_signal(number)
    assert engineless.process.wait(1.0) == 0
    assert is_alive(pid)
    assert not socket_path(engineless.state_dir).exists()
    engineless.start()
    assert pid_of(engineless, "web") == pid


@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGINT, signal.SIGINT)])
def test_a_create_under_way_holds_up_no_end(tmp_path: Path, signals: tuple[signal.Signals, ...]) -> None:
    """Packages are fetched from an index that accepts a connection and then says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as index:
        url = f"http://127.0.0.1:{index.getsockname()[1]}/simple"
        with RunningDaemon(None, environment={"UV_INDEX_URL": url, "UV_DEFAULT_INDEX": url}) as daemon:
            declare(daemon, "slow", *FOREVER, packages={"python": ["something"]})
            declare(daemon, "web", *FOREVER)
            daemon.wait_ready("web")
            index.settimeout(20)
            connection, _ = index.accept()
            process = daemon.process
            for number in signals:
                process.send_signal(number)
            process.wait(1.5)
            connection.close()
            assert "Traceback" not in daemon.logged()
            declare(daemon, "slow", *FOREVER)
            daemon.start()
            daemon.wait_ready("web", "slow")


def test_ready_and_healthy_are_told(engineless: RunningDaemon) -> None:
    for path in ("/readyz", "/healthz"):
        assert httpx.get(f"http://{engineless.address}{path}").status_code == 200, path
    assert httpx.post(f"http://{engineless.address}/api/v1/reconcile").status_code == 403, "read-only"
    mode = socket_path(engineless.state_dir).stat().st_mode & 0o777
    assert mode == 0o600


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208 - only their number


def test_fifty_sandboxes_that_came_and_went_leave_no_thread_and_no_descriptor(engineless: RunningDaemon) -> None:
    """Twelve stay, so that ten at once are not most of them."""
    staying = {f"stay{number}" for number in range(12)}
    for name in staying:
        engineless.write(f"{name}.yaml", manifest(name))
    cycle(engineless, "warm-up", staying)
    before = descriptors(engineless.pid), threads(engineless.pid)
    for number in range(5):
        cycle(engineless, f"cycle{number}", staying)
    engineless.until(lambda: descriptors(engineless.pid) <= before[0], "no descriptor is left open")
    engineless.until(lambda: threads(engineless.pid) <= before[1], "no thread is left")


def cycle(daemon: RunningDaemon, prefix: str, staying: set[str]) -> None:
    """Ten directory sandboxes come, are used, and go."""
    names = [f"{prefix}-{number}" for number in range(10)]
    for name in names:
        declare(daemon, name, *FOREVER)
    daemon.wait_ready(*staying, *names)
    assert daemon.cli("exec", names[0], "--", "true").returncode == 0
    for name in names:
        daemon.undeclare(name)
    daemon.until(lambda: set(daemon.sandboxes()) == staying, "the ten are gone")
