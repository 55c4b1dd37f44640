"""From a spec to what the engine is asked to create: the whole secure profile, and nothing that a manifest cannot say.

Pure. Field names are the engine's (https://docs.docker.com/reference/api/engine/version/v1.41/, ContainerCreate).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.model.errors import CannotRunError
from controller.model.identity import Owner
from controller.model.spec import Desired, Limits, NetworkMode, SandboxSpec
from controller.runtime.cgroup.limits import DEFAULT_PERIOD, cpu_quota
from controller.runtime.docker.labels import labels_of

LEAST_MEMORY: Final = 6 << 20  # the engine's own floor: "Minimum memory limit allowed is 6MB"
GVISOR_CLASS: Final = "gvisor"
WORKSPACE: Final = "/workspace"
STAY_UP: Final = ("sleep", "2147483647")

_GVISOR_RUNTIMES: Final = ("runsc", "gvisor")
# gVisor's own threads count against the engine's pids limit, and reaching it ends the sandbox: measured, 57 idle and
# about 11 more for each process.
_GVISOR_IDLE_PIDS: Final = 64
_GVISOR_PIDS_EACH: Final = 16


@dataclass(frozen=True, slots=True)
class Host:
    """What a create needs to know beyond the spec.

    `env` is NAME=value with secrets filled in, `mounts` are checked, `max_cpu` in thousandths of a core (0: unknown),
    `runtimes` the engine's OCI runtimes, `default_runtime` the one it takes by itself. `image` is the one to be
    taken in place of the spec's.
    """

    workspace: str
    env: tuple[str, ...] = ()
    mounts: tuple[Mapping[str, Any], ...] = ()
    network: str = "none"
    max_cpu: int = 0
    runtimes: Collection[str] = ()
    default_runtime: str = "runc"
    image: str = ""


def container_body(desired: Desired, owner: Owner, host: Host) -> dict[str, Any]:
    """The body of a create. Raises CannotRunError where the engine has no such runtime."""
    spec = desired.spec
    runtime = runtime_of(spec.runtime_class, host.runtimes)
    entrypoint, command = entrypoint_of(spec)
    body: dict[str, Any] = {
        "Image": host.image or spec.image,
        "Hostname": f"sandbox-{owner.uid[:8]}",
        "User": spec.user if ":" in spec.user else f"{spec.user}:{spec.user}",
        "WorkingDir": spec.working_dir,
        "Env": list(host.env),
        "Labels": labels_of(owner, desired.template),
        "Healthcheck": {"Test": ["NONE"]},  # an image's own check would be exec'd beside every limit of ours
        "ExposedPorts": {f"{port.container_port}/tcp": {} for port in spec.network.ports},
        "HostConfig": host_config(spec, host, runtime),
    }
    if entrypoint:
        body["Entrypoint"] = list(entrypoint)
    if command:
        body["Cmd"] = list(command)
    return body


def host_config(spec: SandboxSpec, host: Host, runtime: str | None) -> dict[str, Any]:
    """The HostConfig of a create."""
    gvisor = is_gvisor(runtime or host.default_runtime)
    config: dict[str, Any] = {
        "Privileged": False,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],  # and no seccomp=…: the engine's default profile stays
        "ReadonlyRootfs": spec.filesystem.read_only_root,
        "Tmpfs": {target: f"rw,noexec,nosuid,nodev,size={size}" for target, size in spec.filesystem.tmpfs.items()},
        "Mounts": [bind(host.workspace, workspace_target(spec.working_dir), read_only=False), *host.mounts],
        "NetworkMode": host.network if spec.network.mode is NetworkMode.BRIDGE else "none",
        "PortBindings": {
            f"{port.container_port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port.host_port)}]
            for port in spec.network.ports
        },
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "Init": True,
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
        **resources(spec.limits, host.max_cpu, gvisor),
    }
    if spec.limits.open_files is not None:
        files = spec.limits.open_files
        config["Ulimits"].append({"Name": "nofile", "Soft": files, "Hard": files})
    if spec.capabilities:
        config["CapAdd"] = list(spec.capabilities)
    if runtime is not None:
        config["Runtime"] = runtime
    return config


def resources(limits: Limits, max_cpu: int, gvisor: bool) -> dict[str, int]:
    """Memory, cpu and pids as create and update take them; an unlimited one is left out.

    The cpu pair and not NanoCpus: the engine refuses to update one by the other. More cpu than the machine has is
    clamped: it limits nothing.
    """
    found: dict[str, int] = {}
    if limits.memory is not None:
        found |= {"Memory": limits.memory, "MemorySwap": limits.memory}
    if limits.cpu is not None:
        quota, period = cpu_quota(min(limits.cpu, max_cpu) if max_cpu else limits.cpu)
        found |= {"CpuQuota": quota, "CpuPeriod": period}
    if limits.pids is not None:
        found["PidsLimit"] = engine_pids(limits.pids, gvisor)
    return found


def cpu_of(quota: int, period: int) -> int | None:
    """Thousandths of a core from CpuQuota and CpuPeriod; None is unlimited."""
    return quota * 1000 // (period or DEFAULT_PERIOD) if quota > 0 else None


def cpu_clamped(millis: int, max_cpu: int) -> str:
    """Why less cpu is in force than was asked for, or the empty string."""
    if not max_cpu or millis <= max_cpu:
        return ""
    return f"clamped: the machine has {max_cpu // 1000} cores, {millis / 1000:g} were asked for"


def engine_pids(pids: int, gvisor: bool) -> int:
    """The engine's pids limit for so many processes inside."""
    return _GVISOR_IDLE_PIDS + _GVISOR_PIDS_EACH * pids if gvisor else pids


def sandbox_pids(limit: int, gvisor: bool) -> int:
    """The processes inside that an engine's pids limit stands for."""
    return max(1, (limit - _GVISOR_IDLE_PIDS) // _GVISOR_PIDS_EACH) if gvisor else limit


def counted_pids(tasks: int | None, gvisor: bool) -> int | None:
    """The processes that a cgroup's count of tasks tells of; None where those are gVisor's own threads, whose number
    tells nothing of the processes on its kernel.
    """
    return None if gvisor else tasks


def is_gvisor(runtime: str) -> bool:
    """Whether an engine's runtime of this name is gVisor's."""
    return runtime in _GVISOR_RUNTIMES


def gvisor_runtime(runtimes: Collection[str]) -> str | None:
    """The engine's name for gVisor, or None."""
    return next((name for name in _GVISOR_RUNTIMES if name in runtimes), None)


def runtime_of(runtime_class: str | None, runtimes: Collection[str]) -> str | None:
    """The engine's runtime for a runtimeClass; None: the engine's own. Raises CannotRunError, naming what there is."""
    if runtime_class is None:
        return None
    name = gvisor_runtime(runtimes) if runtime_class == GVISOR_CLASS else runtime_class
    if name in runtimes:
        return name
    known = ", ".join(sorted(runtimes)) or "none"
    raise CannotRunError(
        f"the engine has no runtime for runtimeClass {runtime_class} (it has: {known}); "
        "correct spec.runtimeClass, or add the runtime to the engine's daemon.json"
    )


def entrypoint_of(spec: SandboxSpec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Entrypoint and Cmd, empty ones being the image's; as Kubernetes' command and args. Neither said: stay up."""
    if not spec.command and not spec.args:
        return STAY_UP[:1], STAY_UP[1:]
    return spec.command, spec.args


def workspace_target(working_dir: str) -> str:
    """Where the workspace is bound: `/workspace` for all that lies in it, else the working directory itself."""
    inside = working_dir == WORKSPACE or working_dir.startswith(f"{WORKSPACE}/")
    return WORKSPACE if inside else working_dir


def bind(source: str, target: str, *, read_only: bool) -> dict[str, Any]:
    """A bind as a Mount: unlike one of `Binds` it fails where the source is missing, rather than making it as root."""
    return {
        "Type": "bind",
        "Source": source,
        "Target": target,
        "ReadOnly": read_only,
        "BindOptions": {"Propagation": "rprivate"},
    }
