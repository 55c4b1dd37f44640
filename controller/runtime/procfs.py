"""Every process of the machine in one pass over /proc, for sandboxes that no control group measures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC
_KERNEL_THREADS: Final = 2  # the pid of kthreadd, their parent
_ENVIRON_BYTES: Final = 1 << 20
_STOPPED: Final = (b"T", b"t")  # by a signal, or by a tracer
_LONGEST_MARKER: Final = 64  # an id or a token is shorter: anything else is not ours, and not to be remembered

EXEC_MARKER: Final = "SANDKEEPER_EXEC"
"""What names the exec that a process belongs to, in its environment, by a token."""


class Process(NamedTuple):
    """One process (a NamedTuple since hundreds are made each tick). rss is bytes; start_time is seconds since boot and
    tells a reused pid apart.

    cpu_seconds is its own; reaped_cpu_seconds that of its children that ended and were waited for. The sum of both
    over all members of a sandbox only ever grows as long as every child is waited for by a member.
    """

    pid: int
    ppid: int
    start_time: float
    cpu_seconds: float
    reaped_cpu_seconds: float
    rss: int
    threads: int
    uid: int
    zombie: bool
    stopped: bool


class ProcessTable:
    """An immutable picture of /proc."""

    def __init__(self, processes: Mapping[int, Process]) -> None:
        self.processes = processes
        self._children: dict[int, list[int]] = {}
        for process in processes.values():
            self._children.setdefault(process.ppid, []).append(process.pid)

    @classmethod
    def snapshot(cls, proc: str = "/proc") -> ProcessTable:
        """Read every process but the kernel's own threads; those that vanish meanwhile are left out."""
        ticks = os.sysconf("SC_CLK_TCK")
        page = os.sysconf("SC_PAGESIZE")
        processes = {}
        for name in os.listdir(proc):  # noqa: PTH208 - half the cost of Path objects, each tick
            if name[0].isdigit() and (process := _read_process(f"{proc}/{name}", ticks, page)) is not None:
                processes[process.pid] = process
        return cls(processes)

    def descendants(self, roots: Iterable[int]) -> frozenset[int]:
        """The roots that live and everything below them."""
        found: set[int] = set()
        pending = [pid for pid in roots if pid in self.processes]
        while pending:
            pid = pending.pop()
            if pid not in found:
                found.add(pid)
                pending.extend(self._children.get(pid, ()))
        return frozenset(found)


def marker_of(pid: int, name: str, proc: str = "/proc") -> str:
    """A marker in the environment that a process was started with; empty where it has none or is not ours to read.

    A process can overwrite its own: a marker shows membership, its absence shows nothing.
    """
    try:
        descriptor = os.open(f"{proc}/{pid}/environ", _FLAGS)
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
            content = b"\0" + file.read(_ENVIRON_BYTES)
    except OSError:
        return ""
    wanted = b"\0" + name.encode() + b"="
    start = content.find(wanted)
    if start < 0:
        return ""
    start += len(wanted)
    value = content[start : content.find(b"\0", start)]
    return os.fsdecode(value) if len(value) <= _LONGEST_MARKER else ""


def _read_process(folder: str, ticks: int, page: int) -> Process | None:
    """proc(5): the name in parentheses may itself hold spaces and parentheses, so fields count from the last one."""
    try:
        descriptor = os.open(f"{folder}/stat", _FLAGS)
        try:
            content = os.read(descriptor, 1024)
            uid = os.fstat(descriptor).st_uid
        finally:
            os.close(descriptor)
    except OSError:
        return None
    name_end = content.rindex(b")")
    fields = content[name_end + 2 :].split(b" ", 22)
    ppid = int(fields[1])
    pid = int(content[: content.index(b" ")])
    if _KERNEL_THREADS in (pid, ppid) and fields[20] == b"0":
        return None
    return Process(
        pid=pid,
        ppid=ppid,
        start_time=int(fields[19]) / ticks,
        cpu_seconds=(int(fields[11]) + int(fields[12])) / ticks,
        reaped_cpu_seconds=(int(fields[13]) + int(fields[14])) / ticks,
        rss=int(fields[21]) * page,
        threads=int(fields[17]),
        uid=uid if uid != 0 else _real_uid(folder),
        zombie=fields[0] == b"Z",
        stopped=fields[0] in _STOPPED,
    )


def _real_uid(folder: str) -> int:
    """The uid from `status`: the files of a process that made itself undumpable belong to root, whoever runs it."""
    try:
        descriptor = os.open(f"{folder}/status", _FLAGS)
    except OSError:
        return 0
    try:
        content = os.read(descriptor, 4096)
    except OSError:
        return 0
    finally:
        os.close(descriptor)
    start = content.find(b"\nUid:\t")
    return int(content[start + 6 : content.index(b"\t", start + 6)]) if start >= 0 else 0
