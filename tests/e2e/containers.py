"""A daemon's containers as somebody else sees them: by the engine's inspect, by /proc and by the cgroups' files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker import DockerClient
from docker.errors import NotFound

from tests.e2e.daemon import RunningDaemon

LABEL = "sandkeeper.dev/instance"
MIB = 1 << 20


@dataclass(frozen=True)
class InForce:
    """What a live cgroup limits: memory in bytes, cpu in thousandths of a core, pids."""

    memory: int
    cpu: int
    pids: int


@dataclass(frozen=True)
class Outside:
    """Looks past the daemon, straight at the engine and the kernel."""

    client: DockerClient
    daemon: RunningDaemon

    def containers(self) -> list[dict[str, Any]]:
        """Every container of the daemon, inspected, oldest first."""
        instance = (self.daemon.state_dir / "instance").read_text().strip()
        items = self.client.api.containers(all=True, filters={"label": f"{LABEL}={instance}"})
        found = []
        for item in items:
            with suppress(NotFound):  # removed since the list
                found.append(self.client.api.inspect_container(item["Id"]))
        return sorted(found, key=lambda info: info["Created"])

    def count(self) -> int:
        """How many containers the daemon has, in one call."""
        instance = (self.daemon.state_dir / "instance").read_text().strip()
        return len(self.client.api.containers(all=True, filters={"label": f"{LABEL}={instance}"}))

    def is_running(self, container: str) -> bool:
        """Whether a container runs."""
        return bool(self.client.api.inspect_container(container)["State"]["Running"])

    def of(self, name: str) -> list[dict[str, Any]]:
        """The containers of one sandbox."""
        return [info for info in self.containers() if info["Config"]["Labels"]["sandkeeper.dev/name"] == name]

    def only_of(self, name: str) -> dict[str, Any]:
        """The one container of a sandbox."""
        (found,) = self.of(name)
        return found

    def wait_replaced(self, name: str, old: str) -> None:
        """Wait until another container alone stands for the sandbox, in fact and in its status."""

        def is_replaced() -> bool:
            ids = [info["Id"] for info in self.of(name)]
            return len(ids) == 1 and ids[0] != old and self.daemon.status(name).get("containerID") == ids[0]

        self.daemon.until(is_replaced, f"{name} is another container")

    def wait_memory(self, name: str, mebibytes: int) -> None:
        """Wait until this memory limit is in force."""
        self.daemon.until(lambda: self.in_force(name).memory == mebibytes * MIB, f"{mebibytes}Mi in force on {name}")

    def wait_in_force(self, name: str, wanted: InForce) -> None:
        """Wait until these limits are in force."""
        self.daemon.until(lambda: self.in_force(name) == wanted, f"{wanted} is in force on {name}")

    def inspect(self, name: str) -> dict[str, Any]:
        """The container that a sandbox's status names."""
        info: dict[str, Any] = self.client.api.inspect_container(self.daemon.status(name)["containerID"])
        return info

    def identity(self, name: str) -> tuple[str, int, str]:
        """Container, pid and start: the same as long as nothing was restarted."""
        info = self.inspect(name)
        return info["Id"], info["State"]["Pid"], info["State"]["StartedAt"]

    def is_in(self, name: str, state: str) -> bool:
        """Whether the engine says that the container is `running`, `paused`, `exited` or `created`."""
        return bool(self.inspect(name)["State"]["Status"] == state)

    def in_force(self, name: str) -> InForce:
        """The limits in the container's cgroup."""
        return in_force(self.inspect(name)["State"]["Pid"])

    def actions(self, name: str, since: float) -> list[tuple[str, str]]:
        """What the engine did to a sandbox's containers, as (action, container id), oldest first."""
        labels = [f"{LABEL}={(self.daemon.state_dir / 'instance').read_text().strip()}", f"sandkeeper.dev/name={name}"]
        filters = {"type": "container", "label": labels}
        heard = self.client.api.events(since=int(since), until=int(time.time()) + 1, filters=filters, decode=True)
        recent = (event for event in heard if event["timeNano"] >= since * 1e9)
        return [(event["Action"], event["Actor"]["ID"]) for event in recent]


def in_force(pid: int) -> InForce:
    """The limits in the cgroup of a process, version 1 or 2."""
    if (unified := _group(pid, "")) is not None and (unified / "memory.max").exists():
        quota, period = (unified / "cpu.max").read_text().split()
        return InForce(_number(unified / "memory.max"), int(quota) * 1000 // int(period), _number(unified / "pids.max"))
    groups = {name: _group(pid, name) for name in ("memory", "cpu", "pids")}
    memory, cpu, pids = (groups[name] or Path() for name in ("memory", "cpu", "pids"))
    memory_limit = _number(memory / "memory.limit_in_bytes")
    swap = memory / "memory.memsw.limit_in_bytes"
    assert not swap.exists() or _number(swap) == memory_limit, "swap is open"
    share = _number(cpu / "cpu.cfs_quota_us") * 1000 // _number(cpu / "cpu.cfs_period_us")
    return InForce(memory_limit, share, _number(pids / "pids.max"))


def told(daemon: RunningDaemon, name: str, reason: str) -> list[str]:
    """The messages of a sandbox's events with that reason, oldest first."""
    return [event["message"] for event in daemon.events(name) if event["reason"] == reason]


def counted(daemon: RunningDaemon, name: str, reason: str) -> int:
    """How often an event with that reason happened; repeats are one event with a count."""
    return sum(event["count"] for event in daemon.events(name) if event["reason"] == reason)


def sh(daemon: RunningDaemon, name: str, script: str) -> str:
    """What a shell script prints inside."""
    return daemon.cli("exec", name, "--", "sh", "-c", script).stdout


def metric(daemon: RunningDaemon, name: str, **labels: str) -> float | None:
    """The value of the one series with these labels, or None."""
    for line in daemon.metrics().splitlines():
        series, _, value = line.rpartition(" ")
        if series.split("{")[0] == name and all(f'{label}="{text}"' in series for label, text in labels.items()):
            return float(value)
    return None


def row(status: dict[str, Any], limit: str) -> dict[str, Any]:
    """One row of the enforcement contract."""
    rows: Sequence[dict[str, Any]] = status["enforcement"]
    return next(found for found in rows if found["limit"] == limit)


def _number(file: Path) -> int:
    return int(file.read_text())


def _group(pid: int, controller: str) -> Path | None:
    """The cgroup folder of a process in one hierarchy of version 1, or with "" in that of version 2."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            root = Path("/sys/fs/cgroup")
            return (root / controller if controller else root) / path.lstrip("/")
    return None
