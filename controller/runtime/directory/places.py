"""The places of a machine that everybody may write, and whether memory that a sandbox fills there outlives it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from controller.runtime.directory.reach import may_mount
from controller.runtime.directory.supervisor.view import SHARED_MEMORY

TEMPORARY: Final = ("/tmp", "/var/tmp")
IPC: Final = "IPC objects"

_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})


def coverable(place: str, needed: Iterable[str]) -> bool:
    """Whether a sandbox can have a folder of its own there: none of the paths that it has to see lies below."""
    real = os.path.realpath(place)
    return Path(real).is_dir() and not any(f"{path}/".startswith(f"{real}/") for path in needed)


def outlived_in(pid: int | None, workspace: str) -> tuple[str, ...]:
    """Where a sandbox leaves memory behind that no control group counts against its next run.

    `pid` is its main process; None: none runs, and the next command is looked at as it would be started now.
    """
    try:
        found = (SHARED_MEMORY, IPC) if pid is None and not may_mount() else () if pid is None else _shared_with(pid)
        return (*found, "its workspace") if _in_memory(workspace) else found
    except OSError:
        return ()  # it has just ended, or is being removed


def _shared_with(pid: int) -> tuple[str, ...]:
    own_ipc = Path(f"/proc/{pid}/ns/ipc").readlink() != Path("/proc/self/ns/ipc").readlink()
    places = [place for place in (SHARED_MEMORY, *TEMPORARY) if _is_ours(pid, place) and _in_memory(place)]
    return (*places, *(() if own_ipc else (IPC,)))


def _in_memory(path: str) -> bool:
    device = Path(path).stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        mount, _, kind = line.partition(" - ")
        if mount.split(" ")[2] == number:
            return kind.split(" ")[0] in _IN_MEMORY
    return False


def _is_ours(pid: int, place: str) -> bool:
    """Whether a process has the same folder there as we."""
    folder = Path(place)
    return folder.exists() and folder.samefile(f"/proc/{pid}/root{place}")
