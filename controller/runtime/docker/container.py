"""One container as the engine's inspect tells of it, reduced to what is asked of it. Pure.

Field names: https://docs.docker.com/reference/api/engine/version/v1.41/, ContainerInspect and ContainerList.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from controller.model.identity import Owner
from controller.model.observed import Exit, InstanceState, Observed
from controller.model.spec import Limits
from controller.runtime.docker.labels import owner_of, template_of
from controller.runtime.docker.profile import cpu_of, is_gvisor, sandbox_pids

RUNTIME: Final = "docker"
_STATES: Final = {
    "created": InstanceState.CREATED,
    "running": InstanceState.RUNNING,
    "paused": InstanceState.PAUSED,
    "restarting": InstanceState.EXITED,  # between two runs of a policy that somebody else gave it
    "exited": InstanceState.EXITED,
    "removing": InstanceState.REMOVING,
    "dead": InstanceState.REMOVING,
}
_KILLED: Final = 137
_LAST_SIGNAL: Final = 64


@dataclass(frozen=True, slots=True)
class Container:
    """What is kept of an inspected container. `exit` lacks what only the runtime can tell: an engine's restart.

    `upper` is the writable layer on this machine ("" where the storage driver has none), `volumes` the anonymous
    volumes that the image asked for, `sandbox_uid` the sandbox's ("" where its labels are not a sandbox's), `user` as
    the engine was given it, `binds` the folders of this machine that are mounted in it.
    """

    id: str
    name: str
    state: InstanceState
    limits: Limits
    created_at: float
    started_at: float | None
    exit: Exit | None
    pid: int | None
    image_id: str
    oci_runtime: str
    network: str
    upper: str
    volumes: tuple[str, ...]
    sandbox_uid: str
    user: str
    binds: tuple[str, ...]

    @property
    def gvisor(self) -> bool:
        """Whether its processes run on gVisor's kernel rather than the machine's."""
        return is_gvisor(self.oci_runtime)


def container_of(info: Mapping[str, Any]) -> Container:
    """The container of an inspect."""
    host, state, config = info["HostConfig"], info["State"], info["Config"]
    owner = owner_of(config.get("Labels"))
    runtime = host.get("Runtime") or ""
    return Container(
        id=info["Id"],
        name=info["Name"].lstrip("/"),
        state=state_of(state.get("Status", "")),
        limits=_limits(host, is_gvisor(runtime)),
        created_at=seconds_of(info.get("Created")) or 0.0,
        started_at=seconds_of(state.get("StartedAt")),
        exit=_exit(state),
        pid=state.get("Pid") or None,
        image_id=info.get("Image", ""),
        oci_runtime=runtime,
        network=host.get("NetworkMode", ""),
        upper=str(((info.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir", "")),
        volumes=_mounted(info, "volume"),
        sandbox_uid=owner.uid if owner is not None else "",
        user=config.get("User") or "",
        binds=_mounted(info, "bind"),
    )


def observed(container: Container, labels: Mapping[str, str], owner: Owner) -> Observed:
    """The container as the loop sees it."""
    return Observed(
        owner=owner,
        runtime=RUNTIME,
        id=container.id,
        name=container.name,
        state=container.state,
        limits=container.limits,
        template=template_of(labels),
        created_at=container.created_at,
        started_at=container.started_at,
        exit=container.exit,
        pid=container.pid,
        image_id=container.image_id,
    )


def observed_in_list(item: Mapping[str, Any], known: Container | None) -> Observed | None:
    """The container of one entry of a list, completed from its last inspect where that saw the same state.

    None where its labels are not a sandbox's.
    """
    labels = item.get("Labels") or {}
    owner = owner_of(labels)
    if owner is None:
        return None
    state = state_of(item.get("State", ""))
    name = (item.get("Names") or ["/"])[0].lstrip("/")
    if known is not None and known.state is state and known.name == name:
        return observed(known, labels, owner)
    return Observed(
        owner=owner,
        runtime=RUNTIME,
        id=item["Id"],
        name=name,
        state=state,
        limits=known.limits if known is not None else Limits(),
        template=template_of(labels),
        created_at=float(item.get("Created") or 0),
        image_id=item.get("ImageID", ""),
    )


def state_of(status: str) -> InstanceState:
    """The state behind one of the engine's words for it."""
    return _STATES.get(status, InstanceState.EXITED)


def seconds_of(text: str | None) -> float | None:
    """Epoch seconds from the engine's RFC 3339 times; None for the year 1, which stands for never."""
    if not text or text.startswith("0001-"):
        return None
    whole, _, rest = text.rstrip("Z").partition(".")
    moment = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    return moment.timestamp() + (float(f"0.{rest}") if rest.isdecimal() else 0.0)


def _mounted(info: Mapping[str, Any], type_: str) -> tuple[str, ...]:
    return tuple(mount["Source"] for mount in info.get("Mounts") or () if mount.get("Type") == type_)


def _limits(host: Mapping[str, Any], gvisor: bool) -> Limits:
    pids = host.get("PidsLimit") or 0
    return Limits(
        memory=host.get("Memory") or None,
        cpu=cpu_of(host.get("CpuQuota") or 0, host.get("CpuPeriod") or 0)
        or (host.get("NanoCpus") or 0) // 10**6
        or None,
        pids=sandbox_pids(pids, gvisor) if pids > 0 else None,
        open_files=next((each["Hard"] for each in host.get("Ulimits") or () if each["Name"] == "nofile"), None),
    )


def _exit(state: Mapping[str, Any]) -> Exit | None:
    """The engine's oom mark stays with a container whose child was killed once: only an end by SIGKILL can be one."""
    finished_at = seconds_of(state.get("FinishedAt"))
    if state_of(state.get("Status", "")) is not InstanceState.EXITED or finished_at is None:
        return None
    code = int(state.get("ExitCode") or 0)
    return Exit(
        code=code,
        signal=code - 128 if 128 < code <= 128 + _LAST_SIGNAL else None,
        oom_killed=bool(state.get("OOMKilled")) and code == _KILLED,
        finished_at=finished_at,
        error=state.get("Error") or "",
    )
