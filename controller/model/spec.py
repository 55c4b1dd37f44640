"""What is wanted: a Sandbox's spec after defaulting.

Sizes are bytes, cpu is thousandths of a core, times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from controller.model.identity import Key
from controller.model.skill import SkillFacts


class Isolation(StrEnum):
    """Which runtime makes the sandbox real."""

    CONTAINER = "container"
    DIRECTORY = "directory"


class Action(StrEnum):
    """What enforcement does, once per violation."""

    WARN = "warn"
    THROTTLE = "throttle"
    PAUSE = "pause"
    STOP = "stop"
    KILL = "kill"


class Resource(StrEnum):
    """What is limited."""

    MEMORY = "memory"
    CPU = "cpu"
    PIDS = "pids"
    DISK = "disk"
    OPEN_FILES = "openFiles"


class OperatingMode(StrEnum):
    """agent-sandbox's `operatingMode`."""

    RUNNING = "Running"
    SUSPENDED = "Suspended"


class SuspendMode(StrEnum):
    """Stop: processes gone, workspace kept. Freeze: paused in memory."""

    STOP = "Stop"
    FREEZE = "Freeze"


class RestartPolicy(StrEnum):
    """When a sandbox that ended by itself is started again."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class PullPolicy(StrEnum):
    """When an image is pulled."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class ShutdownPolicy(StrEnum):
    """What expiry does with the workspace and the evidence."""

    RETAIN = "Retain"
    DELETE = "Delete"


class NetworkMode(StrEnum):
    """none: loopback only. bridge: a network of ours per namespace."""

    NONE = "none"
    BRIDGE = "bridge"


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one sandbox; None is unlimited. memory and disk in bytes, cpu in thousandths of a core."""

    memory: int | None = None
    cpu: int | None = None
    pids: int | None = None
    disk: int | None = None
    open_files: int | None = None

    def of(self, resource: Resource) -> int | None:
        """The limit of one resource."""
        return {
            Resource.MEMORY: self.memory,
            Resource.CPU: self.cpu,
            Resource.PIDS: self.pids,
            Resource.DISK: self.disk,
            Resource.OPEN_FILES: self.open_files,
        }[resource]


@dataclass(frozen=True, slots=True)
class SecretRef:
    """One key of one of the daemon's own secrets. The value is read when a sandbox is created, never before."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class EnvVar:
    """An environment variable: a value said in the manifest, or a reference to a secret."""

    name: str
    value: str | None = None
    secret: SecretRef | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """A container's port published on 127.0.0.1."""

    container_port: int
    host_port: int


@dataclass(frozen=True, slots=True)
class Network:
    """How far a sandbox reaches."""

    mode: NetworkMode = NetworkMode.NONE
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True, slots=True)
class Mount:
    """A host path bound into a sandbox; `source` is absolute, symlinks resolved, inside an allowed prefix."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class Skill:
    """A skill given to a sandbox: `mount` has the files of `digest`; `python_version` as SkillFacts tells it."""

    path: str
    digest: str
    mount: Mount
    python_version: str = ""


@dataclass(frozen=True, slots=True)
class Filesystem:
    """The root, in-memory mounts (target to bytes) and binds."""

    read_only_root: bool = True
    tmpfs: Mapping[str, int] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()


@dataclass(frozen=True, slots=True)
class CpuEnforcement:
    """Act when usage stays above a fraction of the limit for so many seconds."""

    above: float = 0.95
    for_seconds: float = 60.0
    action: Action = Action.WARN


@dataclass(frozen=True, slots=True)
class Enforcement:
    """What the tick does about each resource. `warn_at` is a fraction of the limit."""

    warn_at: float = 0.8
    memory: Action = Action.KILL
    cpu: CpuEnforcement = field(default_factory=CpuEnforcement)
    pids: Action = Action.WARN
    disk: Action = Action.STOP


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """When a sandbox runs and when it ends. `shutdown_time` is seconds since the epoch."""

    operating_mode: OperatingMode = OperatingMode.RUNNING
    suspend_mode: SuspendMode = SuspendMode.STOP
    restart_policy: RestartPolicy = RestartPolicy.ALWAYS
    startup_deadline: float = 300.0
    stop_grace_period: float = 10.0
    shutdown_time: float | None = None
    ttl: float | None = None
    shutdown_policy: ShutdownPolicy = ShutdownPolicy.RETAIN
    depends_on: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """A whole spec after defaulting. `command` replaces an image's ENTRYPOINT, `args` its CMD; both empty: stay up.

    `packages` are the skill's as well; `capabilities` are those given back to a container, sorted.
    """

    isolation: Isolation
    fallback: Isolation | None
    runtime_class: str | None
    image: str
    pull_policy: PullPolicy
    packages: tuple[str, ...]
    command: tuple[str, ...]
    args: tuple[str, ...]
    env: tuple[EnvVar, ...]
    working_dir: str
    user: str
    limits: Limits
    enforcement: Enforcement
    network: Network
    filesystem: Filesystem
    lifecycle: Lifecycle
    skill: Skill | None = None
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Desired:
    """One sandbox as its manifest wants it.

    `template` is the JSON form of what only a replace can change; `spec_hash` is its hash. `resolved_hash` covers the
    whole spec and raises the generation. `document` is the manifest's `{metadata, spec}` with defaults, for status.
    `fallback` is the same sandbox in the other isolation, for when there is no engine, where the manifest allows it.
    `skill` is what its skill was when the manifest was read.
    """

    key: Key
    spec: SandboxSpec
    template: Mapping[str, Any]
    spec_hash: str
    resolved_hash: str
    document: Mapping[str, Any]
    origin: str
    labels: Mapping[str, str] = field(default_factory=dict)
    fallback: Desired | None = None
    skill: SkillFacts | None = None
