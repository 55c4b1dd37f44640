"""What containers use, what of it goes past their limits, and what is done about it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog

from controller.model.errors import ConfigError, InstanceNotFoundError, SandboxNotFoundError
from controller.model.quantity import format_memory
from controller.model.spec import Limits
from controller.runtime.docker.container import Container
from controller.runtime.docker.figures import ContainerFigures, Figures
from controller.sandbox.api_errors import as_api_errors
from controller.sandbox.container_config import ContainerConfig
from controller.sandbox.library_logging import log_as_a_library

log = structlog.get_logger(__name__)

_ACTIONS: Final = ("log", "warn", "stop", "kill")
_DONE: Final = {"log": "logged", "warn": "warned", "stop": "stopped", "kill": "killed"}
_FULL_PERCENT: Final = 95.0  # the kernel lets no usage go past its limit: near it is all that can be seen
_GRACE_SECONDS: Final = 10
_SHORTEST_WINDOW: Final = 0.02
_LONGEST_WINDOW: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Measured:
    container: Container
    figures: Figures
    cpu_percent: float


class ResourceManager:
    """Measures containers of sandboxes, of whatever process, and acts on those at their limits. For any thread.

    Every id is a container's or a sandbox's.
    """

    def __init__(self, docker_client: Any = None, default_config: ContainerConfig | None = None) -> None:
        """`docker_client`: a docker-py client, of which the engine's address is taken; None: the engine is found as
        Docker's own client finds it. `default_config`: limits to hold containers to, where no other is given; None: to
        their own.

        Raises RuntimeError where no engine answers, ValueError on a client of an engine that is not local.
        """
        if default_config is not None and not isinstance(default_config, ContainerConfig):
            raise ConfigError("default_config must be a ContainerConfig")
        log_as_a_library()
        self.default_config = default_config
        self._containers = ContainerFigures(None if docker_client is None else _address_of(docker_client))
        self._lock = threading.Lock()
        self._last: dict[str, Figures] = {}
        self._kills: dict[str, int] = {}
        self._exceeded: dict[str, dict[str, Any]] = {}
        with _errors():
            self._containers.ping()

    def get_container_stats(self, container_id: str) -> dict[str, Any]:
        """What a container uses now, in milliseconds where its cgroup is visible from here; else in about a second.

        `cpu_percent` (of one core: 200 is two cores; since the last call of the last minute, else over 20 ms),
        `memory_usage` (bytes, without file cache that can be dropped), `memory_limit` (bytes, 0 for none),
        `memory_percent`, `network_rx` and `network_tx` (bytes since its start, loopback aside), `pids` (processes and
        threads), `timestamp` (epoch seconds).

        Raises ValueError on an unknown id; RuntimeError where it does not run, or the engine does not answer.
        """
        return _stats(self._measured(container_id))

    def enforce_limits(
        self, container_id: str, config: ContainerConfig | None = None, action_on_exceed: str = "warn"
    ) -> dict[str, Any]:
        """Compare a container with its limits and act where it exceeds one: `log`, `warn`, `stop` (with ten seconds of
        grace) or `kill`. `config`: the limits to hold it to; None: the default's; what those leave out: its own.

        Exceeded are: memory within 5 % of its limit, or the kernel has killed for want of it since the last call; cpu
        above its limit; processes at their limit. The answer: `exceeded` (bool), `violations` (a sentence each),
        `action_taken` (none, logged, warned, stopped, killed) and `stats`. Raises ValueError, RuntimeError; also
        RuntimeError on stopping what sandkeeper did not make.
        """
        if action_on_exceed not in _ACTIONS:
            raise ConfigError(f"action_on_exceed must be one of {', '.join(_ACTIONS)}, not {action_on_exceed!r}")
        measured = self._measured(container_id)
        limits = _limits_of(measured.container, config or self.default_config)
        violations = self._violations(measured, limits)
        taken = "none"
        if violations:
            self._track(container_id, measured.figures.at)
            self._act(measured.container, action_on_exceed, violations)
            taken = _DONE[action_on_exceed]
        else:
            self.reset_tracking(container_id)
        stats = _stats(measured)
        return {"exceeded": bool(violations), "violations": violations, "action_taken": taken, "stats": stats}

    def cleanup_exceeded_containers(
        self, exceeded_duration: float = 300, max_exceeded_count: int = 10, action: str = "stop"
    ) -> list[str]:
        """Stop or kill the containers that were found to exceed limits for so many seconds, or so many times in a row;
        their ids, as they were given. Raises ValueError, RuntimeError.
        """
        if action not in ("stop", "kill"):
            raise ConfigError(f"action must be stop or kill, not {action!r}")
        now, ended = time.time(), []
        for id, seen in self.get_exceeded_containers().items():
            lasting = now - seen["first_exceeded"] >= exceeded_duration
            if not lasting and seen["exceeded_count"] < max_exceeded_count:
                continue
            with _errors():
                try:
                    self._end(self._containers.find(id), action)
                    ended.append(id)
                except InstanceNotFoundError:
                    log.info("gone_meanwhile", container=id)
            self.reset_tracking(id)
        return ended

    def get_exceeded_containers(self) -> dict[str, dict[str, Any]]:
        """Those that exceeded a limit when `enforce_limits` last looked: by id `first_exceeded` (epoch seconds) and
        `exceeded_count` (in a row).
        """
        with self._lock:
            return {id: dict(seen) for id, seen in self._exceeded.items()}

    def reset_tracking(self, container_id: str | None = None) -> None:
        """Forget that a container, or any (None), exceeded limits."""
        with self._lock:
            if container_id is None:
                self._exceeded.clear()
            else:
                self._exceeded.pop(container_id, None)

    def close(self) -> None:
        """Close the connections to the engine."""
        self._containers.close()

    def _measured(self, id: str) -> _Measured:
        if not isinstance(id, str) or not id.strip():
            raise ConfigError("container_id cannot be empty")
        with _errors():
            container = self._containers.find(id.strip())
            now = self._containers.measure(container)
            with self._lock:
                before = self._last.get(container.id)
            if before is None or not _SHORTEST_WINDOW <= now.at - before.at <= _LONGEST_WINDOW:
                before = now
                time.sleep(_SHORTEST_WINDOW)
                now = self._containers.measure(container)
        with self._lock:
            self._last[container.id] = now
        used = max(0.0, now.cpu_seconds - before.cpu_seconds)
        return _Measured(container, now, 100 * used / max(now.at - before.at, 1e-6))

    def _violations(self, measured: _Measured, limits: Limits) -> list[str]:
        figures, found = measured.figures, []
        if limits.cpu is not None and measured.cpu_percent > limits.cpu / 10:
            found.append(f"cpu: {measured.cpu_percent:.1f} % of a core, the limit is {limits.cpu / 10:g} %")
        if limits.memory is not None:
            percent = 100 * figures.memory / limits.memory
            if percent > _FULL_PERCENT:
                found.append(f"memory: {figures.memory} bytes ({percent:.1f} %) of {format_memory(limits.memory)}")
            if kills := self._new_kills(measured):
                found.append(f"memory: the kernel killed {kills} for want of it, at {format_memory(limits.memory)}")
        if limits.pids is not None and figures.pids >= limits.pids:
            found.append(f"pids: {figures.pids} of {limits.pids}")
        return found

    def _new_kills(self, measured: _Measured) -> int:
        """What the kernel killed since it was last asked; of one that is asked of first, since its start."""
        kills = measured.figures.oom_kills
        if kills is None:
            return 0
        with self._lock:
            before = self._kills.get(measured.container.id, 0)
            self._kills[measured.container.id] = kills
        return max(0, kills - before)

    def _track(self, id: str, now: float) -> None:
        with self._lock:
            seen = self._exceeded.setdefault(id, {"first_exceeded": now, "exceeded_count": 0})
            seen["exceeded_count"] += 1

    def _act(self, container: Container, action: str, violations: list[str]) -> None:
        told = {"container": container.name, "violations": violations}
        (log.info if action == "log" else log.warning)("limits_exceeded", action=action, **told)
        if action in ("stop", "kill"):
            with _errors():
                self._end(container, action)

    def _end(self, container: Container, action: str) -> None:
        self._containers.end(container, _GRACE_SECONDS if action == "stop" else None)


def _stats(measured: _Measured) -> dict[str, Any]:
    figures, limit = measured.figures, measured.container.limits.memory or 0
    return {
        "cpu_percent": round(measured.cpu_percent, 2),
        "memory_usage": figures.memory,
        "memory_limit": limit,
        "memory_percent": round(100 * figures.memory / limit, 2) if limit else 0.0,
        "network_rx": figures.received,
        "network_tx": figures.sent,
        "pids": figures.pids,
        "timestamp": figures.at,
    }


def _limits_of(container: Container, config: ContainerConfig | None) -> Limits:
    """Those of the configuration, and the container's own where it says nothing."""
    own = container.limits
    if config is None:
        return own
    said = config.resource_limits
    return Limits(
        memory=own.memory if said.memory_bytes is None else said.memory_bytes,
        cpu=own.cpu if said.cpu_millis is None else said.cpu_millis,
        pids=own.pids if said.pids_limit is None else said.pids_limit,
    )


def _address_of(client: Any) -> str:
    """The socket of the engine that a docker-py client talks to."""
    try:
        return str(client.api.get_adapter("http+docker://localhost").socket_path)
    except Exception as exc:  # whatever was given
        raise ConfigError(
            "docker_client must be a docker.DockerClient of an engine behind a unix socket: leave it out to have the "
            "engine found"
        ) from exc


@contextmanager
def _errors() -> Iterator[None]:
    with as_api_errors():
        try:
            yield
        except InstanceNotFoundError as exc:
            raise SandboxNotFoundError(str(exc)) from exc
