"""A spec's JSON data, defaults applied and valid by schema, as a SandboxSpec."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from controller.model.errors import QuantityError
from controller.model.identity import SANDBOX, Key
from controller.model.quantity import parse_cpu, parse_duration, parse_memory, parse_percent
from controller.model.spec import (
    Action,
    CpuEnforcement,
    Enforcement,
    EnvVar,
    Filesystem,
    Isolation,
    Lifecycle,
    Limits,
    Mount,
    Network,
    NetworkMode,
    OperatingMode,
    Port,
    PullPolicy,
    RestartPolicy,
    SandboxSpec,
    SecretRef,
    ShutdownPolicy,
    SuspendMode,
)

_TMP_LARGEST: Final = 64 << 20


def parse_spec(spec: Mapping[str, Any], namespace: str) -> SandboxSpec:
    """The spec as values. `namespace` completes the short names of dependsOn. Raises QuantityError."""
    limits = parse_limits(spec["resources"]["limits"])
    return SandboxSpec(
        isolation=Isolation(spec["isolation"]),
        fallback=None if spec["fallback"] == "none" else Isolation(spec["fallback"]),
        runtime_class=spec["runtimeClass"],
        image=spec["image"],
        pull_policy=PullPolicy(spec["imagePullPolicy"]),
        packages=tuple(spec["packages"]["python"]),
        command=tuple(spec["command"]),
        args=tuple(spec["args"]),
        env=tuple(_env_var(entry) for entry in spec["env"]),
        working_dir=spec["workingDir"],
        user=_user(spec["user"]),
        limits=limits,
        enforcement=_enforcement(spec["enforcement"]),
        network=_network(spec["network"]),
        filesystem=_filesystem(spec["filesystem"], limits.memory),
        lifecycle=_lifecycle(spec, namespace),
        capabilities=tuple(sorted(set(spec["capabilities"]["add"]))),
    )


def parse_limits(limits: Mapping[str, Any]) -> Limits:
    """Limits in bytes and thousandths of a core; an absent or null one is unlimited. Raises QuantityError."""
    memory, cpu, disk = limits.get("memory"), limits.get("cpu"), limits.get("disk")
    return Limits(
        memory=None if memory is None else parse_memory(memory),
        cpu=None if cpu is None else parse_cpu(cpu),
        pids=limits.get("pids"),
        disk=None if disk is None else parse_memory(disk),
        open_files=limits.get("openFiles"),
    )


def parse_time(text: str) -> float:
    """Seconds since the epoch from an RFC 3339 time with its offset. Raises QuantityError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise QuantityError(f"{text!r} is not a time; write 2027-01-31T18:00:00Z") from exc
    if moment.tzinfo is None:
        raise QuantityError(f"{text!r} has no time zone; write 2027-01-31T18:00:00Z")
    return moment.timestamp()


def dependency_key(reference: str, namespace: str) -> Key:
    """The key that `name` or `namespace/name` means."""
    where, _, name = reference.rpartition("/")
    return Key(SANDBOX, where or namespace, name)


def _user(user: str | int) -> str:
    text = str(user)
    return text if ":" in text else f"{text}:{text}"


def _env_var(entry: Mapping[str, Any]) -> EnvVar:
    if "valueFrom" not in entry:
        return EnvVar(entry["name"], value=str(entry.get("value", "")))
    reference = entry["valueFrom"]["secretKeyRef"]
    return EnvVar(entry["name"], secret=SecretRef(reference["name"], reference["key"]))


def _enforcement(enforcement: Mapping[str, Any]) -> Enforcement:
    cpu = enforcement["cpu"]
    return Enforcement(
        warn_at=parse_percent(enforcement["warnAt"]),
        memory=Action(enforcement["memory"]["action"]),
        cpu=CpuEnforcement(
            above=parse_percent(cpu["above"]),
            for_seconds=parse_duration(cpu["for"]),
            action=Action(cpu["action"]),
        ),
        pids=Action(enforcement["pids"]["action"]),
        disk=Action(enforcement["disk"]["action"]),
    )


def _network(network: Mapping[str, Any]) -> Network:
    ports = tuple(Port(port["containerPort"], port["hostPort"]) for port in network["ports"])
    return Network(NetworkMode(network["mode"]), ports)


def _filesystem(filesystem: Mapping[str, Any], memory: int | None) -> Filesystem:
    tmpfs = filesystem.get("tmpfs")
    sizes = default_tmpfs(memory) if tmpfs is None else {path: parse_memory(size) for path, size in tmpfs.items()}
    mounts = tuple(
        Mount(mount["source"], mount["target"], mount.get("readOnly", True)) for mount in filesystem["mounts"]
    )
    return Filesystem(filesystem["readOnlyRoot"], sizes, mounts)


def default_tmpfs(memory: int | None) -> dict[str, int]:
    """`/tmp` as the smaller of 64Mi and a quarter of memory: what is written there counts as memory."""
    return {"/tmp": _TMP_LARGEST if memory is None else min(_TMP_LARGEST, memory // 4)}


def _lifecycle(spec: Mapping[str, Any], namespace: str) -> Lifecycle:
    shutdown_time, ttl = spec["shutdownTime"], spec["ttl"]
    return Lifecycle(
        operating_mode=OperatingMode(spec["operatingMode"]),
        suspend_mode=SuspendMode(spec["suspend"]["mode"]),
        restart_policy=RestartPolicy(spec["restartPolicy"]),
        startup_deadline=parse_duration(spec["startupDeadline"]),
        stop_grace_period=parse_duration(spec["stopGracePeriod"]),
        shutdown_time=None if shutdown_time is None else parse_time(shutdown_time),
        ttl=None if ttl is None else parse_duration(ttl),
        shutdown_policy=ShutdownPolicy(spec["shutdownPolicy"]),
        depends_on=tuple(dependency_key(reference, namespace) for reference in spec["dependsOn"]),
    )
