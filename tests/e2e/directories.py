"""Directory sandboxes as end-to-end tests see them: by their folders, their processes and the daemon's answers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from controller.runtime.cgroup.root import CgroupRoot
from tests.e2e.daemon import RunningDaemon

FOREVER = ("sh", "-c", "while :; do sleep 0.1; done")


def manifest(name: str, *command: str, **spec: Any) -> str:
    """A directory sandbox's manifest (JSON is YAML)."""
    body = {
        "apiVersion": "sandkeeper.dev/v1alpha1",
        "kind": "Sandbox",
        "metadata": {"name": name},
        "spec": {"isolation": "directory", "command": list(command), **spec},
    }
    return json.dumps(body, indent=1)


def declare(daemon: RunningDaemon, name: str, *command: str, **spec: Any) -> Path:
    """Declare it in `<name>.yaml`."""
    return daemon.write(f"{name}.yaml", manifest(name, *command, **spec))


def limits(**values: Any) -> dict[str, Any]:
    """The part of a spec that limits."""
    return {"resources": {"limits": values}}


def pid_of(daemon: RunningDaemon, name: str) -> int:
    """The main process's pid."""
    pid: int = daemon.status(name)["pid"]
    return pid


def uid_of(daemon: RunningDaemon, name: str) -> str:
    """The sandbox's uid."""
    uid: str = daemon.sandbox(name)["metadata"]["uid"]
    return uid


def workspace_of(daemon: RunningDaemon, name: str) -> Path:
    """Its workspace."""
    return daemon.state_dir / "workspaces" / uid_of(daemon, name)


def folders_of(daemon: RunningDaemon, uid: str) -> list[Path]:
    """The folders of its instances."""
    return list((daemon.state_dir / "directories").glob(f"{uid}-*"))


def groups_of(daemon: RunningDaemon, uid: str) -> list[str]:
    """Its control groups."""
    instance = daemon.call("GET", "/api/v1/daemon")["instance"]
    return [name for name in CgroupRoot(instance).names() if name.startswith(uid)]


def is_alive(pid: int) -> bool:
    """Alive and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def written(path: Path) -> Callable[[], bool]:
    """Whether a file is there and has a whole line."""
    return lambda: path.exists() and path.read_text().endswith("\n")


def reasons(daemon: RunningDaemon, name: str) -> list[str]:
    """The reasons of its events, oldest first."""
    return [event["reason"] for event in daemon.events(name)]


def lines_of(daemon: RunningDaemon, name: str) -> list[str]:
    """What its main process has written."""
    return daemon.cli("logs", name).stdout.splitlines()


def descriptors(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - only their number


def updatable(daemon: RunningDaemon) -> list[str]:
    """The limits that this machine's control groups can put in force."""
    runtimes = daemon.call("GET", "/api/v1/daemon")["runtimes"]
    found: list[str] = next(runtime["updatable"] for runtime in runtimes if runtime["runtime"] == "directory")
    return found


def wait_until(reached: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait while no daemon runs."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def is_blocked(daemon: RunningDaemon) -> bool:
    """Whether removals are held back."""
    return bool(daemon.call("GET", "/api/v1/daemon")["pruneReason"])
