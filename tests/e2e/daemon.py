"""A real daemon as a process of its own, on a folder and a state folder of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from controller.config import socket_path
from controller.runtime.directory import wire

STARTING_SECONDS = 30.0
WAITING_SECONDS = 30.0
SUPERVISOR_SECONDS = 10.0
_SERVING = re.compile(r'"listen": "http://(?P<address>[^"]*)"')


class RunningDaemon:
    """`sandkeeper run` on `manifests`, kept as `root` between restarts; everything is removed at the end."""

    def __init__(
        self,
        docker_host: str | None,
        *arguments: str,
        tick: str = "500ms",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="sk-"))
        self.manifests = self.root / "manifests"
        self.manifests.mkdir()
        self.state_dir = self.root / "state"
        self.arguments = [*arguments, "--tick", tick]
        engine = {"DOCKER_HOST": docker_host or "unix:///nonexistent/docker.sock"}
        self.environment = {**os.environ, **engine, **(environment or {})}
        self.prefix: list[str] = []
        """What the daemon's command is run by: setpriv, unshare and their like."""
        self.log = self.root / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.clean_up()

    def start(self) -> None:
        """Start it and wait until its first scan is done."""
        command = [sys.executable, "-m", "controller.cli", "run", "--manifests", str(self.manifests)]
        command += ["--state-dir", str(self.state_dir), "--listen", "127.0.0.1:0", "--log-format", "json"]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self.prefix, *command, *self.arguments], stdout=output, stderr=output, env=self.environment
            )
        self.until(self._is_ready, "the daemon is ready", STARTING_SECONDS)

    def kill(self) -> None:
        """`kill -9`."""
        process = self._running()
        process.kill()
        process.wait()

    def stop(self) -> int:
        """SIGTERM, as systemd does; the exit status."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        return process.wait(30)

    def clean_up(self) -> None:
        """Remove every sandbox through the daemon itself, then the daemon and its folders."""
        try:
            self._remove_sandboxes()
        finally:
            if self._process is not None and self._process.poll() is None:
                self.stop()
            left = end_supervisor(self.state_dir)
            shutil.rmtree(self.root, ignore_errors=True)
        assert not left, f"left behind by the daemon: {left}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The daemon's process."""
        return self._running()

    @property
    def pid(self) -> int:
        """The daemon's pid."""
        return self._running().pid

    def logged(self) -> str:
        """Everything it has logged."""
        return self.log.read_text(errors="replace")

    def write(self, name: str, text: str) -> Path:
        """Put a manifest there as an editor does: written beside and moved into place."""
        path = self.manifests / name
        beside = self.manifests / f".{name}.new"
        beside.write_text(textwrap.dedent(text))
        beside.rename(path)
        return path

    def declare(self, name: str, **spec: Any) -> Path:
        """Declare a sandbox `default/<name>` in `<name>.yaml` (JSON is YAML)."""
        body = {
            "apiVersion": "sandkeeper.dev/v1alpha1",
            "kind": "Sandbox",
            "metadata": {"name": name},
            "spec": {"isolation": "container", "image": "busybox:latest", **spec},
        }
        return self.write(f"{name}.yaml", json.dumps(body, indent=1))

    def undeclare(self, name: str) -> None:
        """Remove its file."""
        (self.manifests / f"{name}.yaml").unlink()

    def call(self, method: str, path: str, **body: Any) -> Any:
        """One request on the unix socket; the JSON answer."""
        with self._client() as client:
            answer = client.request(method, path, json=body or None)
        answer.raise_for_status()
        return answer.json()

    def sandboxes(self) -> dict[str, dict[str, Any]]:
        """Every sandbox by name."""
        return {item["metadata"]["name"]: item for item in self.call("GET", "/api/v1/sandboxes")["items"]}

    def sandbox(self, name: str) -> dict[str, Any]:
        """One sandbox's document."""
        found: dict[str, Any] = self.call("GET", f"/api/v1/sandboxes/default/{name}")
        return found

    def status(self, name: str) -> dict[str, Any]:
        """One sandbox's status."""
        found: dict[str, Any] = self.sandbox(name)["status"]
        return found

    def condition(self, name: str, type_: str) -> dict[str, Any]:
        """One condition of it, or an empty dict."""
        conditions = self.sandboxes().get(name, {}).get("status", {}).get("conditions", [])
        return next((condition for condition in conditions if condition["type"] == type_), {})

    def wait_ready(self, *names: str) -> None:
        """Wait until all of them are Ready."""
        for name in names:
            self.wait_condition(name, "Ready", "True")

    def wait_condition(self, name: str, type_: str, status: str, reason: str | None = None) -> None:
        """Wait until a condition has that status (and that reason)."""

        def reached() -> bool:
            condition = self.condition(name, type_)
            return condition.get("status") == status and reason in (None, condition.get("reason"))

        self.until(reached, f"{name} has {type_}={status} ({reason or 'any reason'})")

    def wait_gone(self, name: str) -> None:
        """Wait until nothing is known of it any more."""
        self.until(lambda: name not in self.sandboxes(), f"{name} is gone")

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Events, oldest first."""
        path = f"/api/v1/events?namespace=default&name={name}" if name else "/api/v1/events"
        items: list[dict[str, Any]] = self.call("GET", path)["items"]
        return items

    def until(self, reached: Callable[[], bool], what: str, seconds: float = WAITING_SECONDS) -> None:
        """Wait for a state that no event announces to this process; fails with the log's end."""
        deadline = time.monotonic() + seconds
        while not reached():
            if self._process is not None and self._process.poll() is not None:
                raise AssertionError(f"the daemon ended with {self._process.returncode}:\n{self._tail()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s: {what}\n{self._tail()}")
            time.sleep(0.02)

    def cli(self, *arguments: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the command line against this daemon."""
        verb, *rest = arguments
        command = [sys.executable, "-m", "controller.cli", verb, "--state-dir", str(self.state_dir), *rest]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=60, env=self.environment, check=False
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def metrics(self) -> str:
        """What Prometheus would scrape, over TCP."""
        return httpx.get(f"http://{self.address}/metrics").text

    @property
    def address(self) -> str:
        """host:port of the read-only API."""
        self.until(lambda: bool(_SERVING.search(self.logged())), "the daemon tells its address")
        found = list(_SERVING.finditer(self.logged()))
        return found[-1]["address"]

    def _is_ready(self) -> bool:
        try:
            with self._client() as client:
                return client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def _client(self) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(socket_path(self.state_dir)))
        return httpx.Client(transport=transport, base_url="http://localhost", timeout=30)

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    def _remove_sandboxes(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self.start()
        for path in self.manifests.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        deadline = time.monotonic() + WAITING_SECONDS
        while self.sandboxes() and time.monotonic() < deadline:
            self.cli("reconcile", check=False)
            self.cli("prune", "--confirm", check=False)
            time.sleep(0.2)

    def _tail(self) -> str:
        return self.logged()[-6000:]


def end_supervisor(state_dir: Path) -> list[str]:
    """End the supervisor of a state folder, where one runs; the commands of the processes that it still had."""
    lock = state_dir / "run" / wire.LOCK
    identity = lock.read_text() if lock.exists() else ""
    if not wire.is_alive(identity):
        return []
    supervisor = psutil.Process(int(identity.split(":")[1]))
    left = [str(child) for child in supervisor.children(recursive=True)]
    supervisor.terminate()  # it takes its children along
    _, alive = psutil.wait_procs([supervisor], SUPERVISOR_SECONDS)
    return left + [str(process) for process in alive]


def daemons(docker_host: str | None) -> Iterator[RunningDaemon]:
    """For fixtures: one started daemon."""
    with RunningDaemon(docker_host) as daemon:
        yield daemon
