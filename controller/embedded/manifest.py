"""The manifest of a sandbox of the Python API, admitted and resolved as a file in a daemon's folder is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from controller.embedded.kept import Kept
from controller.model.errors import ConfigError
from controller.model.identity import API_VERSION, SANDBOX, digest_of
from controller.model.manifest import Document, FieldFault
from controller.model.quantity import format_cpu, format_memory
from controller.model.spec import Desired, Isolation
from controller.resolve.admission import admit
from controller.resolve.defaults import ResolveSettings
from controller.resolve.parse import default_tmpfs
from controller.resolve.resolver import resolve
from controller.sandbox.checks import capabilities, tmpfs_sizes
from controller.sandbox.container_config import ContainerConfig
from controller.source.kinds import Kind, load_schema

_TMP: Final = ["/tmp"]
_DEFAULT_MEMORY: Final = 512 << 20
_WRITTEN_IN_CONFIG: Final[Mapping[str, str]] = {
    "spec.filesystem.mounts": "volumes",
    "spec.filesystem.tmpfs": "tmpfs",
    "spec.network.mode": "network_mode",
    "spec.workingDir": "working_dir",
    "spec.user": "user",
    "spec.resources.limits.memory": "resource_limits.memory",
}


def manifest_of(kept: Kept) -> dict[str, Any]:
    """The manifest."""
    config = ContainerConfig.from_mapping(kept.config)
    spec: dict[str, Any] = {
        "isolation": kept.isolation,
        "env": [{"name": name, "value": value} for name, value in sorted(config.environment_vars.items())],
        "workingDir": config.working_dir,
        "resources": {"limits": _limits(config)},
        "stopGracePeriod": "0s",  # nothing of its own runs in it that could end by itself
    }
    if kept.skill.packages:
        spec["packages"] = {"python": list(kept.skill.packages)}
    if config.network_mode != "none":
        spec["network"] = {"mode": config.network_mode}
    if config.volumes:
        spec["filesystem"] = {"mounts": _mounts(config)}
    if kept.isolation == Isolation.CONTAINER:
        _contain(spec, config)
    metadata = {"name": kept.key.name, "namespace": kept.key.namespace}
    return {"apiVersion": API_VERSION, "kind": SANDBOX, "metadata": metadata, "spec": spec}


def desired_of(kept: Kept, settings: ResolveSettings) -> Desired:
    """The desired sandbox. Raises ConfigError where no such manifest is admitted."""
    body = manifest_of(kept)
    faults = [held.fault for held in _kind().check(body)] or list(admit(body, settings))
    if faults:
        raise ConfigError("; ".join(_text(fault) for fault in faults))
    return resolve(Document(kept.key, body, f"sandbox {kept.id}", 1, digest_of(body)), settings)


def _limits(config: ContainerConfig) -> dict[str, Any]:
    limits = config.resource_limits
    found: dict[str, Any] = {}
    if limits.memory_bytes is not None:
        found["memory"] = format_memory(limits.memory_bytes)
    if limits.cpu_millis is not None:
        found["cpu"] = format_cpu(limits.cpu_millis)
    if limits.pids_limit is not None:
        found["pids"] = limits.pids_limit
    if limits.open_files is not None:
        found["openFiles"] = limits.open_files
    return found


def _contain(spec: dict[str, Any], config: ContainerConfig) -> None:
    """What a manifest says of containers alone."""
    spec["image"] = config.base_image
    filesystem = spec.setdefault("filesystem", {})
    filesystem["readOnlyRoot"] = config.read_only
    if config.tmpfs != _TMP:
        usual = default_tmpfs(config.resource_limits.memory_bytes or _DEFAULT_MEMORY)["/tmp"]
        sizes = tmpfs_sizes(config.tmpfs)
        filesystem["tmpfs"] = {path: format_memory(usual if size is None else size) for path, size in sizes.items()}
    if config.user is not None:
        spec["user"] = config.user
    if config.cap_add:
        spec["capabilities"] = {"add": capabilities(config.cap_add)}


def _mounts(config: ContainerConfig) -> list[dict[str, Any]]:
    return [
        {"source": os.path.realpath(source), "target": mount["bind"], "readOnly": mount.get("mode", "rw") == "ro"}
        for source, mount in config.volumes.items()
    ]


def _text(fault: FieldFault) -> str:
    """A fault by the name that the Python API has for its field, where it has one."""
    path = ".".join(str(part) for part in fault.path)
    name = next((name for field, name in _WRITTEN_IN_CONFIG.items() if path.startswith(field)), path)
    hint = fault.hint.replace("isolation: ", "isolation_mode: ")
    return f"{name}: {fault.message}" + (f" ({hint})" if hint else "")


@cache
def _kind() -> Kind:
    return Kind(API_VERSION, SANDBOX, load_schema(SANDBOX))
