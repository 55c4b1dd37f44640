"""Changing containers that are there: each change looks whose it is first, and goes by id."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from controller.model.errors import (
    CannotRunError,
    ConflictError,
    InstanceNotFoundError,
    ResizePendingError,
    RuntimeFailure,
)
from controller.model.observed import InstanceState
from controller.model.quantity import format_memory
from controller.model.spec import Limits
from controller.runtime.cgroup.hierarchy import Hierarchy
from controller.runtime.cgroup.limits import apply_limits, read_limits
from controller.runtime.docker.client import EngineClient, quoted
from controller.runtime.docker.config import Timeouts
from controller.runtime.docker.container import Container
from controller.runtime.docker.group import group_of
from controller.runtime.docker.health import EngineHealth
from controller.runtime.docker.observe import Observer
from controller.runtime.docker.profile import LEAST_MEMORY, engine_pids, resources, sandbox_pids
from controller.runtime.docker.usage import UsageMeter

_LONGEST_GRACE: Final = 86400.0  # sockets and the engine count in 32 bits
_LIVE: Final = (InstanceState.RUNNING, InstanceState.PAUSED)
_UPDATED: Final = ("memory", "cpu", "pids")


class Changer:
    """Every mutation of an existing container. For any thread. Each raises NotOwnedError on what is not ours."""

    def __init__(
        self, client: EngineClient, observer: Observer, health: EngineHealth, meter: UsageMeter, timeouts: Timeouts
    ) -> None:
        self._client = client
        self._observer = observer
        self._health = health
        self._meter = meter
        self._timeouts = timeouts
        self._hierarchy = Hierarchy.detect()
        self._lock = threading.Lock()
        self._written: dict[str, Limits] = {}
        self.before_start: Callable[[Container], None] = lambda _: None
        self.before_unpause: Callable[[Container], None] = lambda _: None

    def start(self, target: str) -> None:
        """Start it; one that runs is left alone."""
        container = self._observer.owned(target)
        if container.state is InstanceState.RUNNING:
            return
        if container.state is InstanceState.PAUSED:
            raise ConflictError(f"{container.name} is paused: it is to be thawed, not started")
        self.before_start(container)
        try:
            self._post(container, "start", read=self._timeouts.slow)
        except InstanceNotFoundError as exc:
            self._observer.owned(target)  # raises where it is this that is gone
            why = f"{exc}: it was removed from outside; remove {container.name}, it is made again"
            raise ConflictError(why) from exc

    def stop(self, target: str, grace: float) -> None:
        """Stop it; a paused one is thawed by the engine to hear its signal."""
        container = self._observer.owned(target)
        if container.state not in _LIVE:
            return
        seconds = math.ceil(min(max(grace, 0.0), _LONGEST_GRACE))
        self._post(container, f"stop?t={seconds}", read=seconds + self._timeouts.slow)

    def kill(self, target: str) -> None:
        """Kill it; the engine answers when it is down."""
        container = self._observer.owned(target)
        if container.state not in _LIVE:
            return
        try:
            self._post(container, "kill?signal=KILL", read=self._timeouts.slow)
        except ConflictError:
            if self._observer.owned(target).state in _LIVE:
                raise

    def pause(self, target: str) -> None:
        """Freeze it."""
        container = self._observer.owned(target)
        if container.state is not InstanceState.PAUSED:
            self._post(container, "pause")

    def unpause(self, target: str) -> None:
        """Thaw it."""
        container = self._observer.owned(target)
        if container.state is InstanceState.RUNNING:
            return
        if container.state is not InstanceState.PAUSED:
            raise ConflictError(f"{container.name} is not paused: look again")
        self.before_unpause(container)
        self._post(container, "unpause")

    def update(self, target: str, limits: Limits) -> None:
        """Put memory, cpu and pids in force together. Raises ResizePendingError below present usage: no change;
        ConflictError where a limit would have to go: the engine cannot take one away.
        """
        container = self._observer.owned(target)
        self._refuse_removal(container, limits)
        if limits.memory is not None and limits.memory < LEAST_MEMORY:
            raise CannotRunError(f"memory of {format_memory(limits.memory)} is below the engine's least, 6Mi: raise it")
        self._refuse_below_usage(container, limits)
        if container.gvisor and container.state in _LIVE:
            self._write(container, limits)
            return
        body = resources(limits, self._health.max_cpu(), container.gvisor)
        self._client.post(f"/containers/{quoted(container.id)}/update", body, read=self._timeouts.slow)

    def remove(self, target: str) -> None:
        """Remove it with its anonymous volumes; returns when it is gone."""
        try:
            container = self._observer.owned(target)
            self._delete(container)
        except InstanceNotFoundError:
            return
        self._observer.forget(container.id)

    def live_limits(self, container: Container) -> Limits | None:
        """What is in force on a gVisor sandbox, whose limits are changed beside the engine; None for any other."""
        if not container.gvisor or container.pid is None:
            return None
        paths = group_of(self._hierarchy, container.id, container.pid)
        if paths is None:
            return None
        try:
            live = read_limits(paths)
        except RuntimeFailure:
            return None  # it ends just now
        pids = None if live.pids is None else sandbox_pids(live.pids, gvisor=True)
        found = replace(container.limits, memory=live.memory, cpu=live.cpu, pids=pids)
        # The kernel rounds memory down to whole pages: what was written is what is in force.
        for written in (self._written.get(container.id), container.limits):
            if written is not None and written.memory and live.memory and 0 <= written.memory - live.memory < 1 << 16:
                return replace(found, memory=written.memory)
        return found

    def forget(self, id: str) -> None:
        """It is gone."""
        with self._lock:
            self._written.pop(id, None)

    def _delete(self, container: Container) -> None:
        path = f"/containers/{quoted(container.id)}"
        try:
            self._client.delete(path, {"force": "1", "v": "1"})
        except ConflictError:  # a removal of it is under way already
            self._client.post(f"{path}/wait?condition=removed", read=self._timeouts.slow)

    def _refuse_removal(self, container: Container, limits: Limits) -> None:
        gone = [name for name in _UPDATED if getattr(limits, name) is None and getattr(container.limits, name)]
        if gone:
            raise ConflictError(f"the engine cannot take away the limit of {', '.join(gone)}: replace the container")

    def _refuse_below_usage(self, container: Container, limits: Limits) -> None:
        """cgroup v1 refuses to shrink memory below usage, v2 kills until it fits, and both take any number of pids."""
        if container.pid is None:
            return
        now = self._meter.sample(container.id, container.pid)
        if now is None:
            return
        if limits.memory is not None and now.working_set is not None and now.working_set > limits.memory:
            raise ResizePendingError(
                f"{format_memory(now.working_set)} of memory are in use, the new limit is "
                f"{format_memory(limits.memory)}: the old one stays until usage falls"
            )
        most = None if limits.pids is None else engine_pids(limits.pids, container.gvisor)
        if most is not None and now.pids is not None and now.pids > most:
            what = "of gVisor's threads" if container.gvisor else "processes"
            raise ResizePendingError(
                f"{now.pids} {what} run, the new limit is {most}: the old one stays until they are fewer"
            )

    def _write(self, container: Container, limits: Limits) -> None:
        """gVisor has no update: its cgroup is written, and the engine's own record changes when it is down."""
        paths = None if container.pid is None else group_of(self._hierarchy, container.id, container.pid)
        if paths is None:
            raise ConflictError(f"the cgroup of {container.name} is not seen from here: stop it to change its limits")
        max_cpu = self._health.max_cpu()
        inside = replace(
            limits,
            cpu=min(limits.cpu, max_cpu) if limits.cpu is not None and max_cpu else limits.cpu,
            pids=None if limits.pids is None else engine_pids(limits.pids, gvisor=True),
        )
        apply_limits(paths, inside)
        with self._lock:
            self._written[container.id] = limits

    def _post(self, container: Container, what: str, read: float = 0) -> None:
        self._client.post(f"/containers/{quoted(container.id)}/{what}", read=read)
