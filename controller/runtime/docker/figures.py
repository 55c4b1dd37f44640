"""What one container uses now, of whatever instance: for those who ask of one, not the tick."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from controller.model.errors import ConflictError, InstanceNotFoundError, NotOwnedError
from controller.model.identity import LABEL_UID
from controller.model.observed import InstanceState
from controller.runtime.cgroup.hierarchy import Hierarchy
from controller.runtime.cgroup.reader import CgroupReader
from controller.runtime.docker.client import EngineClient, quoted
from controller.runtime.docker.config import DockerConfig
from controller.runtime.docker.container import Container, container_of
from controller.runtime.docker.group import group_of
from controller.runtime.docker.labels import owner_of
from controller.runtime.docker.stats import sample_of

_LIVE: Final = (InstanceState.RUNNING, InstanceState.PAUSED)


@dataclass(frozen=True, slots=True)
class Figures:
    """Usage at `at` (epoch seconds). Sizes are bytes; cpu is seconds since the container's start, memory the working
    set, network counts all interfaces but loopback. `oom_kills` None: not told."""

    at: float
    cpu_seconds: float
    memory: int
    pids: int
    received: int
    sent: int
    oom_kills: int | None


class ContainerFigures:
    """Looks at containers, and ends those that a sandkeeper made. For any thread. Connects with the first call.

    Raises RuntimeFailure's subclasses: InstanceNotFoundError where there is no such container.
    """

    def __init__(self, engine: str | None = None) -> None:
        """`engine` is an address as DOCKER_HOST writes it; None: found as Docker's own client finds it."""
        self._client = EngineClient(DockerConfig(instance="", engine=engine))
        self._hierarchy = Hierarchy.detect()

    def ping(self) -> None:
        """Raises EngineUnavailableError, EngineTimeoutError."""
        self._client.ping()

    def find(self, id: str) -> Container:
        """A container by its own id or name, else that of the sandbox of this id: one that runs first."""
        try:
            return container_of(self._client.get(f"/containers/{quoted(id)}/json"))
        except InstanceNotFoundError:
            filters = json.dumps({"label": [f"{LABEL_UID}={id}"]})
            listed = self._client.get("/containers/json", {"all": "1", "filters": filters})
        found = [container_of(self._client.get(f"/containers/{quoted(item['Id'])}/json")) for item in listed]
        if not found:
            raise InstanceNotFoundError(f"container or sandbox {id} not found")
        return max(found, key=lambda each: (each.state is InstanceState.RUNNING, each.created_at))

    def measure(self, container: Container) -> Figures:
        """Its usage, from its cgroup where that is seen from here, else from the engine, which takes up to a second.

        Raises ConflictError where it does not run.
        """
        if container.pid is None:
            raise ConflictError(f"container {container.name} does not run: it uses nothing")
        paths = group_of(self._hierarchy, container.id, container.pid)
        if paths is None:
            return self._asked(container)
        reader = CgroupReader()
        try:
            reader.attach(container.id, paths)
            sample = reader.sample(container.id)
        finally:
            reader.close()
        network = _network_of(container.pid)
        if sample is None or network is None or None in (sample.cpu_seconds, sample.working_set, sample.pids):
            return self._asked(container)
        return Figures(
            time.time(),
            sample.cpu_seconds or 0.0,
            sample.working_set or 0,
            sample.pids or 0,
            *network,
            sample.oom_kills,
        )

    def end(self, container: Container, grace: int | None) -> None:
        """Stop it with a grace of so many seconds, or kill it at once (None). One that is down stays so.

        Raises NotOwnedError where no sandkeeper made it.
        """
        path = f"/containers/{quoted(container.id)}"
        labels = self._client.get(f"{path}/json")["Config"].get("Labels")
        if owner_of(labels) is None:
            raise NotOwnedError(f"container {container.name} was not made by sandkeeper and is left alone")
        if container.state not in _LIVE:
            return
        slow = self._client.timeouts.slow
        if grace is None:
            self._client.post(f"{path}/kill?signal=KILL", read=slow)
        else:
            self._client.post(f"{path}/stop?t={grace}", read=slow + grace)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _asked(self, container: Container) -> Figures:
        path = f"/containers/{quoted(container.id)}/stats"
        answer: Mapping[str, Any] = self._client.get(path, {"stream": "false", "one-shot": "true"})
        sample = sample_of(answer)
        networks = (answer.get("networks") or {}).values()
        return Figures(
            time.time(),
            sample.cpu_seconds or 0.0,
            sample.working_set or 0,
            sample.pids or 0,
            sum(int(each.get("rx_bytes") or 0) for each in networks),
            sum(int(each.get("tx_bytes") or 0) for each in networks),
            None,
        )


def _network_of(pid: int) -> tuple[int, int] | None:
    """Bytes received and sent by all interfaces but loopback (proc(5), /proc/pid/net/dev); None where it is hidden."""
    try:
        lines = Path(f"/proc/{pid}/net/dev").read_text(encoding="ascii").splitlines()[2:]
    except OSError:
        return None
    received = sent = 0
    for line in lines:
        name, _, counts = line.partition(":")
        if name.strip() != "lo":
            fields = counts.split()
            received, sent = received + int(fields[0]), sent + int(fields[8])
    return received, sent
