"""How often the kernel held a group to its limits, and what a process that it killed had asked for."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.runtime.cgroup.hierarchy import CgroupPaths

_LOG: Final = "/dev/kmsg"
_LONGEST_LINE: Final = 8192
_KILL: Final = re.compile(r"oom-kill:constraint=.*oom_memcg=(?P<group>[^,]*),.*pid=(?P<pid>\d+),uid")
_VICTIM: Final = re.compile(r"Killed process (?P<pid>\d+) .*total-vm:(?P<size>\d+)kB")


@dataclass(frozen=True, slots=True)
class LimitHits:
    """Counts since the group was made; `group` is its name. None where the kernel does not count."""

    oom_kills: int | None
    forks_refused: int | None
    group: str = ""


def read_hits(paths: CgroupPaths) -> LimitHits:
    """The counts of a group."""
    kills = "memory.oom_control" if paths.version == 1 else "memory.events"
    return LimitHits(
        _count(paths.memory, kills, "oom_kill"),
        _count(paths.pids, "pids.events", "max"),
        Path(paths.memory or paths.pids or "").name,
    )


def asked_for(group: str, since: float) -> int | None:
    """The most bytes of address space that a process had which the kernel killed for want of memory in the group of
    that name, as its log tells; None where that cannot be read. `since` is a time of the machine's monotonic clock.
    """
    victims: set[str] = set()
    sizes: list[int] = []
    for text in _log_since(since):
        if (kill := _KILL.search(text)) and kill["group"].rpartition("/")[2] == group:
            victims.add(kill["pid"])
        elif (victim := _VICTIM.search(text)) and victim["pid"] in victims:
            sizes.append(int(victim["size"]) << 10)
    return max(sizes, default=None)


def _count(folder: str | None, file: str, name: str) -> int | None:
    if folder is None:
        return None
    try:
        lines = Path(folder, file).read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = (line.split()[1] for line in lines if line.startswith(f"{name} "))
    return next((int(count) for count in found), None)


def _log_since(since: float) -> list[str]:
    """The kernel's messages since then (https://www.kernel.org/doc/Documentation/ABI/testing/dev-kmsg)."""
    found: list[str] = []
    try:
        log = os.open(_LOG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return found
    try:
        while True:
            try:
                prefix, _, text = os.read(log, _LONGEST_LINE).decode(errors="replace").partition(";")
            except BrokenPipeError:  # older ones were overwritten meanwhile
                continue
            if int(prefix.split(",")[2]) / 1e6 >= since:
                found.append(text)
    except (OSError, ValueError, IndexError):
        return found  # at the end
    finally:
        os.close(log)
