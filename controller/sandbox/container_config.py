"""What a container of the Python API is made with: plain values, each checked as it is given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Self

from controller.model.errors import ConfigError
from controller.sandbox import checks
from controller.sandbox.files import read_config

_CPU_PERIOD: Final = 100_000  # microseconds: the engine's own
_DEFAULT_MEMORY: Final = "512m"
_DEFAULT_CPUS: Final = "1.0"
CONFIG_FILE_VARIABLE: Final = "CONTAINER_CONFIG"


@dataclass(frozen=True)
class ResourceLimits:
    """Limits of one sandbox, enforced by the kernel. None: the default of a manifest (512Mi, 1 core, 128 processes,
    1024 open files), never unlimited.

    memory: text with Docker's units in any case, all of them binary: `512m`, `1g`, `2GB`, `512Mi`; whole bytes without
    one. At least 6m. Swap is included and tmpfs counts.
    cpus: cores, a number or its text, in thousandths: 1.5.
    pids_limit: processes and threads, 2 or more: one is the container's init.
    ulimits: `[{"Name": "nofile", "Soft": 1024, "Hard": 1024}]`; nofile alone, with one number for both (and core as 0).

    Raises ValueError.
    """

    memory: str | None = None
    cpus: float | str | None = None
    pids_limit: int | None = None
    ulimits: list[dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        if self.memory is not None:
            checks.memory_bytes(self.memory)
        if self.cpus is not None:
            checks.cpu_millis(self.cpus)
        if self.pids_limit is not None:
            checks.check_pids(self.pids_limit)
        if self.ulimits is not None:
            checks.open_files(self.ulimits)

    @property
    def memory_bytes(self) -> int | None:
        """The memory limit in bytes."""
        return None if self.memory is None else checks.memory_bytes(self.memory)

    @property
    def cpu_millis(self) -> int | None:
        """The cpu limit in thousandths of a core."""
        return None if self.cpus is None else checks.cpu_millis(self.cpus)

    @property
    def open_files(self) -> int | None:
        """The limit of open files."""
        return None if self.ulimits is None else checks.open_files(self.ulimits)


@dataclass(frozen=True)
class ContainerConfig:
    """How containers are made. Every value is checked here; what a sandbox never gets is refused with what it can get.

    network_mode: none (loopback alone) or bridge. tmpfs: absolute paths, or `path:size=64m`; without a size each is the
    smaller of 64Mi and a quarter of memory. volumes: `{host path: {"bind": path inside, "mode": "ro" or "rw"}}`.
    user: `uid:gid` in numbers, not root; None: 10001:10001, or the caller's own where that is not root.
    cap_drop is always ["ALL"]; cap_add gives back what Docker grants by default. security_opt is always
    ["no-new-privileges:true"], and the engine's own seccomp profile stays.

    In directory mode limits, environment_vars and a working_dir below /workspace count; volumes and bridge are refused
    when a sandbox is built.

    Raises ValueError.
    """

    base_image: str = "python:3.11-slim"
    resource_limits: ResourceLimits = field(default_factory=ResourceLimits)
    network_mode: str = "none"
    read_only: bool = True
    tmpfs: list[str] = field(default_factory=lambda: ["/tmp"])
    environment_vars: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, dict[str, str]] = field(default_factory=dict)
    working_dir: str = "/workspace"
    user: str | None = None
    cap_drop: list[str] = field(default_factory=lambda: ["ALL"])
    cap_add: list[str] = field(default_factory=list)
    security_opt: list[str] = field(default_factory=lambda: ["no-new-privileges:true"])

    def __post_init__(self) -> None:
        checks.check_image(self.base_image)
        if not isinstance(self.resource_limits, ResourceLimits):
            raise ConfigError("resource_limits must be ResourceLimits(…)")
        checks.check_network(self.network_mode)
        if not isinstance(self.read_only, bool):
            raise ConfigError(f"read_only must be True or False, not {self.read_only!r}")
        checks.tmpfs_sizes(self.tmpfs)
        checks.check_environment(self.environment_vars)
        checks.check_volumes(self.volumes)
        checks.check_working_dir(self.working_dir)
        if self.user is not None:
            checks.check_user(self.user)
        checks.check_cap_drop(self.cap_drop)
        checks.capabilities(self.cap_add)
        checks.check_security_opt(self.security_opt)

    def to_docker_dict(self) -> dict[str, Any]:
        """What is said here, as docker-py's `containers.create` takes it: `image, working_dir, network_mode, read_only,
        environment, volumes, tmpfs, cap_drop, cap_add, security_opt`, and where they are set `user, mem_limit,
        pids_limit, ulimits`, `cpu_quota` and `cpu_period` in microseconds. What the sandbox gets beyond that (init, log
        limits, defaults of limits, mount options) is not in it.
        """
        limits = self.resource_limits
        found: dict[str, Any] = {
            "image": self.base_image,
            "working_dir": self.working_dir,
            "network_mode": self.network_mode,
            "read_only": self.read_only,
            "environment": dict(self.environment_vars),
            "volumes": {source: dict(mount) for source, mount in self.volumes.items()},
            "tmpfs": list(self.tmpfs),
            "cap_drop": list(self.cap_drop),
            "cap_add": list(self.cap_add),
            "security_opt": list(self.security_opt),
        }
        if self.user is not None:
            found["user"] = self.user
        if limits.memory is not None:
            found["mem_limit"] = limits.memory
        if limits.cpu_millis is not None:
            found |= {"cpu_quota": limits.cpu_millis * _CPU_PERIOD // 1000, "cpu_period": _CPU_PERIOD}
        if limits.pids_limit is not None:
            found["pids_limit"] = limits.pids_limit
        if limits.ulimits is not None:
            found["ulimits"] = [dict(one) for one in limits.ulimits]
        return found

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """From the fields' names, resource_limits being such a mapping too. Raises ValueError, naming unknown ones."""
        given = dict(values)
        limits = given.pop("resource_limits", None)
        if isinstance(limits, Mapping):
            limits = ResourceLimits(**_known(ResourceLimits, limits, "resource_limits."))
        known = _known(cls, given, "")
        return cls(**known) if limits is None else cls(resource_limits=limits, **known)

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """From a TOML file with the fields' names and a table `[resource_limits]`, or from a Python file or a module's
        name that holds a CONTAINER_CONFIG (a ContainerConfig or such a mapping): the module is executed.

        Raises FileNotFoundError; ValueError where it cannot be read or says what cannot be.
        """
        found = read_config(path)
        if isinstance(found, cls):
            return found
        if not isinstance(found, Mapping):
            raise ConfigError(f"{path}: CONTAINER_CONFIG must be a ContainerConfig or a dict")
        try:
            return cls.from_mapping(found)
        except ValueError as exc:
            raise ConfigError(f"{path}: {exc}") from exc

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """From the file or module that $CONTAINER_CONFIG names, with $CONTAINER_IMAGE, $CONTAINER_MEMORY,
        $CONTAINER_CPUS and $CONTAINER_PIDS over it; where neither says so 512m of memory and 1.0 core. Raises as
        from_file.
        """
        env = os.environ if environ is None else environ
        named = env.get(CONFIG_FILE_VARIABLE)
        base = cls.from_file(named) if named else cls()
        limits = base.resource_limits
        pids = env.get("CONTAINER_PIDS")
        read = ResourceLimits(
            memory=env.get("CONTAINER_MEMORY") or limits.memory or _DEFAULT_MEMORY,
            cpus=env.get("CONTAINER_CPUS") or limits.cpus or _DEFAULT_CPUS,
            pids_limit=checks.whole_number("CONTAINER_PIDS", pids) if pids else limits.pids_limit,
            ulimits=limits.ulimits,
        )
        said = {each.name: getattr(base, each.name) for each in fields(base)}
        return cls(**said | {"base_image": env.get("CONTAINER_IMAGE") or base.base_image, "resource_limits": read})


def _known(cls: type[ResourceLimits] | type[ContainerConfig], values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    names = {each.name for each in fields(cls)}
    unknown = sorted(set(values) - names)
    if unknown:
        raise ConfigError(f"{prefix}{unknown[0]} is not known; there are {', '.join(sorted(names))}")
    return dict(values)
