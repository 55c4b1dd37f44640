"""What a runtime sees: instances of sandboxes, how they ended, and what the runtime is able to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from controller.model.identity import Owner
from controller.model.spec import Limits


class InstanceState(StrEnum):
    """The state of one container or directory sandbox."""

    CREATED = "Created"
    RUNNING = "Running"
    PAUSED = "Paused"
    EXITED = "Exited"
    REMOVING = "Removing"


@dataclass(frozen=True, slots=True)
class Exit:
    """How an instance's main process ended. `signal` is its number where a signal ended it.

    `engine_restarted`: it ended because the engine (or supervisor) itself went away, not by its own doing.
    """

    code: int
    signal: int | None
    oom_killed: bool
    finished_at: float
    engine_restarted: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """One instance as its runtime sees it now. Times are seconds since the epoch.

    `limits` are those in force (memory, cpu and pids; None: unlimited). `template` is what it was made from.
    `has_process` is False for a directory sandbox without a command: it is running as long as its folder is there.
    """

    owner: Owner
    runtime: str
    id: str
    name: str
    state: InstanceState
    limits: Limits
    template: Mapping[str, Any]
    created_at: float
    started_at: float | None = None
    exit: Exit | None = None
    pid: int | None = None
    has_process: bool = True
    path: str = ""
    image_id: str = ""

    @property
    def run(self) -> str:
        """One run of this instance: another after each start."""
        return f"{self.id}@{self.started_at}"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a runtime can do on this machine, so that "update or replace", "freeze or stop" are planned.

    `available` False: the runtime cannot be reached; `reason` and `message` say why.
    `updatable` names the limits (memory, cpu, pids) that can be changed in place on a running instance.
    `max_cpu` is the machine's cpu in thousandths of a core; `min_memory` the engine's floor in bytes.
    """

    runtime: str
    available: bool = True
    reason: str = ""
    message: str = ""
    updatable: frozenset[str] = frozenset()
    freeze: bool = False
    throttle: bool = False
    networks: bool = False
    max_cpu: int = 0
    min_memory: int = 0
    runtime_classes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Usage:
    """One measurement of one instance. cpu is seconds consumed since its start; memory and disk are bytes.

    `working_set` is usage less inactive file cache. `oom_kills` counts kernel OOM kills in its cgroup since its start.
    pids is None where nothing tells how many processes there are, as under gVisor.
    `disk_age` is how many seconds ago the disk was walked; disk is None until its first walk.
    """

    at: float
    cpu_seconds: float
    working_set: int
    pids: int | None
    oom_kills: int = 0
    disk: int | None = None
    disk_age: float | None = None
    mechanism: str = "tick"


class Assurance(StrEnum):
    """How far a limit is really in force: stopped by the kernel or engine, seen by the tick, or neither."""

    ENFORCED = "Enforced"
    MEASURED = "Measured"
    UNENFORCEABLE = "Unenforceable"


@dataclass(frozen=True, slots=True)
class ContractRow:
    """One limit of the enforcement contract, read back from the live sandbox: its state, by which mechanism, and why.

    `limit` is one of memory, swap, cpu, pids, disk, openFiles, network, filesystem, capabilities, seccomp, user.
    `value` is the limit as read back, in the manifest's own units.
    """

    limit: str
    state: Assurance
    mechanism: str
    value: str = ""
    reason: str = ""
