"""The container engine, asked over its socket without its client."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from controller.cli import human
from controller.cli.probes.finding import Finding, Setup, fail, ok, warn
from controller.cli.probes.space import probe_space
from controller.cli.transport import UnixConnection
from controller.model.errors import EngineUnavailableError
from controller.resolve.defaults import EMBEDDED
from controller.runtime.docker.locate import engine_socket

_PATIENCE: Final = 10.0
_WITHOUT: Final = "containers cannot run; directory sandboxes can"
# Each flag of GET /info, and the limit that is not in force where it is false.
_ABILITIES: Final = {"MemoryLimit": "memory", "SwapLimit": "swap", "CpuCfsQuota": "cpu", "PidsLimit": "pids"}


def probe_engine(setup: Setup) -> Iterator[Finding]:
    """Whether it answers or why not; then its version, what it can limit, its runtimes and its disk."""
    try:
        path = Path(engine_socket(setup.engine))
    except EngineUnavailableError as exc:
        what, _, advice = str(exc).partition("; ")
        yield fail("engine", what, advice)
        return
    try:
        info = _get(path, "/info")
    except (OSError, http.client.HTTPException, ValueError) as exc:
        yield _away(path, exc)
        return
    yield from _abilities(path, info)
    yield _runtimes(info)
    yield _default_image(path)
    if space := probe_space("engine space", Path(info.get("DockerRootDir", "/"))):
        yield space


def _default_image(socket: Path) -> Finding:
    """Whether the image of a container that names none is there: the first container is quick only then."""
    name = str(EMBEDDED["image"])
    try:
        image = _get(socket, f"/images/{name}/json")
    except (OSError, http.client.HTTPException, ValueError):
        advice = f"docker pull {name}, or docker load it where no registry is reachable"
        return warn("image", f"{name} is not there; it is pulled when it is first wanted", advice)
    return ok("image", f"{name} is there, {human.size(image.get('Size'))}")


def _get(socket: Path, path: str) -> Mapping[str, Any]:
    """The engine's answer. Raises OSError, HTTPException or ValueError."""
    with contextlib.closing(UnixConnection(socket, _PATIENCE)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        answer: Any = json.loads(response.read())
    if response.status >= 400 or not isinstance(answer, dict):
        raise ValueError(answer.get("message", "") if isinstance(answer, dict) else f"status {response.status}")
    return answer


def _away(socket: Path, exc: Exception) -> Finding:
    if isinstance(exc, PermissionError):
        advice = "usermod -aG docker $USER and log in again, or run as root"
        return fail("engine", f"{socket} may not be opened by this user; {_WITHOUT}", advice)
    if isinstance(exc, FileNotFoundError) and shutil.which("dockerd", path="/usr/bin:/usr/sbin:/usr/local/bin") is None:
        advice = "apt-get install docker.io, or set DOCKER_HOST"
        return warn("engine", f"none installed and none at {socket}; {_WITHOUT}", advice)
    if isinstance(exc, FileNotFoundError | ConnectionRefusedError):
        return fail("engine", f"it is down: nothing listens on {socket}; {_WITHOUT}", "systemctl start docker")
    if isinstance(exc, TimeoutError):
        advice = "see its log (journalctl -u docker), then systemctl restart docker"
        return fail("engine", f"{socket} does not answer within {_PATIENCE:.0f} s: it hangs; {_WITHOUT}", advice)
    return fail("engine", f"{socket} answers with: {exc}", "see its log (journalctl -u docker)")


def _abilities(socket: Path, info: Mapping[str, Any]) -> Iterator[Finding]:
    told = (
        f"{info.get('ServerVersion')} on {socket}"
        f" ({info.get('Driver')}, cgroup v{info.get('CgroupVersion', '1')} by {info.get('CgroupDriver')})"
    )
    lacking = [limit for flag, limit in _ABILITIES.items() if info.get(flag) is False]
    if lacking:
        advice = "boot the kernel with cgroup_enable=memory swapaccount=1"
        yield warn("engine", f"{told}; it cannot limit {', '.join(lacking)}", advice)
    else:
        yield ok("engine", told)


def _runtimes(info: Mapping[str, Any]) -> Finding:
    known = sorted(info.get("Runtimes") or {})
    others = "" if "runsc" in known else "; gvisor (runsc) is not installed"
    return ok("runtimes", f"{', '.join(known)}, {info.get('DefaultRuntime')} by default{others}")
