"""The limits of a group: read back what is in force, and put others in force without harm to what runs."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.model.errors import ConflictError, InstanceNotFoundError, ResizePendingError, RuntimeFailure
from controller.model.spec import Limits
from controller.runtime.cgroup import files
from controller.runtime.cgroup.hierarchy import CgroupPaths

_UNLIMITED_V1: Final = 1 << 62  # v1 shows "no limit" as the largest whole number of pages below 2**63
DEFAULT_PERIOD: Final = 100_000  # microseconds, the kernel's default
_LONG_PERIOD: Final = 1_000_000  # the kernel's longest; its least quota of 1,000 is then one thousandth of a core
_LEAST_QUOTA: Final = 1_000
_FILES: Final = {
    "memory": ("memory.limit_in_bytes", "memory.max"),
    "swap": ("memory.memsw.limit_in_bytes", "memory.swap.max"),
    "cpu": ("cpu.cfs_quota_us", "cpu.max"),
    "pids": ("pids.max", "pids.max"),
}


@dataclass(frozen=True, slots=True)
class CgroupLimits:
    """Limits in force. memory and swap are bytes, cpu thousandths of a core; None is unlimited.

    `swap` is what may be swapped out beyond memory: 0 is none. `known` holds the names that could be read at all.
    """

    memory: int | None = None
    swap: int | None = None
    cpu: int | None = None
    pids: int | None = None
    known: frozenset[str] = frozenset()


def read_limits(paths: CgroupPaths) -> CgroupLimits:
    """What the kernel says is in force now. Files that are not there are left out of `known`.

    Raises RuntimeFailure where one cannot be read.
    """
    try:
        found = _read_v1(paths) if paths.version == 1 else _read_v2(paths)
    except OSError as exc:
        raise _translated(exc) from exc
    return CgroupLimits(**found, known=frozenset(found))


def limit_file(name: str, version: int) -> str:
    """Where the limit of memory, swap, cpu or pids stands."""
    return _FILES[name][version - 1]


def machine_swaps() -> bool:
    """Whether the machine has swap at all; True where that cannot be seen."""
    try:
        return len(Path("/proc/swaps").read_text(encoding="ascii").splitlines()) > 1
    except OSError:
        return True


def apply_limits(paths: CgroupPaths, limits: Limits) -> None:
    """Put memory (with swap, so that swap is none), cpu and pids in force, where the group has the controller.

    Raises ResizePendingError where memory in use does not fit, and then has changed nothing; InstanceNotFoundError
    where the group is gone; RuntimeFailure. A pids limit below the present count is taken: it stops further forks.
    The kernel rounds memory down to whole pages, and reads back so.
    """
    try:
        _apply_memory(paths, limits.memory)
        apply_cpu(paths, limits.cpu)
        if paths.pids is not None:
            _put(paths.pids, "pids.max", "max" if limits.pids is None else str(limits.pids))
    except OSError as exc:
        raise _translated(exc) from exc


def apply_cpu(paths: CgroupPaths, cpu: int | None) -> None:
    """Put a cpu limit alone in force, in thousandths of a core; None takes it away. Raises as apply_limits."""
    if paths.cpu is None:
        return
    quota, period = (None, DEFAULT_PERIOD) if cpu is None else cpu_quota(cpu)
    try:
        if paths.version == 2:
            _put(paths.cpu, "cpu.max", f"{'max' if quota is None else quota} {period}")
            return
        _put(paths.cpu, "cpu.cfs_period_us", str(period))
        _put(paths.cpu, "cpu.cfs_quota_us", "-1" if quota is None else str(quota))
    except OSError as exc:
        raise _translated(exc) from exc


def cpu_quota(cpu: int) -> tuple[int, int]:
    """Quota and period, in microseconds, for thousandths of a core."""
    period = DEFAULT_PERIOD if cpu * DEFAULT_PERIOD // 1000 >= _LEAST_QUOTA else _LONG_PERIOD
    return max(_LEAST_QUOTA, cpu * period // 1000), period


def _apply_memory(paths: CgroupPaths, memory: int | None) -> None:
    if paths.memory is None:
        return
    _refuse_below_usage(paths, memory)
    if paths.version == 1:
        _apply_memory_v1(paths.memory, memory)
        return
    _put(paths.memory, "memory.swap.max", "max" if memory is None else "0")
    _put(paths.memory, "memory.max", "max" if memory is None else str(memory))


def _put(folder: str, name: str, value: str) -> None:
    """Write, but pass by a controller that v2 did not hand down to the group: it has no file."""
    try:
        files.write(folder, name, value)
    except FileNotFoundError:
        if not files.exists(folder, "cgroup.procs"):
            raise


def _refuse_below_usage(paths: CgroupPaths, memory: int | None) -> None:
    """On v2 the kernel would kill to make it fit; on v1 it would first squeeze out all of the cache."""
    if memory is None:
        return
    in_use = _working_set(paths)
    if in_use > memory:
        raise ResizePendingError(
            f"memory in use is {in_use} bytes, the new limit {memory}; the old limit stays until usage falls"
        )


def _working_set(paths: CgroupPaths) -> int:
    folder = str(paths.memory)
    usage = int(files.read(folder, "memory.usage_in_bytes" if paths.version == 1 else "memory.current") or 0)
    name = "total_inactive_file" if paths.version == 1 else "inactive_file"
    for line in (files.read(folder, "memory.stat") or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return usage - int(value)
    return usage


def _apply_memory_v1(folder: str, memory: int | None) -> None:
    """memory may never exceed memory+swap on the way: raise the wider first, lower it last."""
    value = "-1" if memory is None else str(memory)
    names = ["memory.limit_in_bytes"]
    if files.exists(folder, "memory.memsw.limit_in_bytes"):
        names.append("memory.memsw.limit_in_bytes")
    before = {name: files.read(folder, name) or "-1" for name in names}
    if memory is None or memory > int(before[names[0]]):
        names.reverse()
    done: list[str] = []
    try:
        for name in names:
            files.write(folder, name, value)
            done.append(name)
    except OSError as exc:
        for name in reversed(done):
            files.write(folder, name, before[name])
        if exc.errno == errno.EBUSY:
            raise ResizePendingError(f"the kernel cannot shrink memory in use to {value} bytes; retry later") from exc
        raise


def _read_v1(paths: CgroupPaths) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    memory = _number(paths.memory, "memory.limit_in_bytes")
    both = _number(paths.memory, "memory.memsw.limit_in_bytes")
    if memory is not None:
        found["memory"] = None if memory >= _UNLIMITED_V1 else memory
    if memory is not None and both is not None:
        found["swap"] = None if both >= _UNLIMITED_V1 else both - memory
    quota, period = _number(paths.cpu, "cpu.cfs_quota_us"), _number(paths.cpu, "cpu.cfs_period_us")
    if quota is not None and period:
        found["cpu"] = None if quota < 0 else quota * 1000 // period
    found.update(_pids(paths))
    return found


def _read_v2(paths: CgroupPaths) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for name, file in (("memory", "memory.max"), ("swap", "memory.swap.max")):
        text = files.read(paths.memory, file)
        if text:
            found[name] = None if text == "max" else int(text)
    quota, _, period = (files.read(paths.cpu, "cpu.max") or "").partition(" ")
    if quota:
        found["cpu"] = None if quota == "max" else int(quota) * 1000 // int(period)
    found.update(_pids(paths))
    return found


def _pids(paths: CgroupPaths) -> dict[str, int | None]:
    text = files.read(paths.pids, "pids.max")
    return {} if not text else {"pids": None if text == "max" else int(text)}


def _number(folder: str | None, name: str) -> int | None:
    text = files.read(folder, name)
    return int(text) if text else None


def _translated(exc: OSError) -> RuntimeFailure:
    if exc.errno in (errno.ENOENT, errno.ENODEV):
        return InstanceNotFoundError(f"the cgroup is gone: {exc.filename}")
    if exc.errno == errno.EBUSY:
        return ConflictError(f"the cgroup is busy: {exc.filename}; look again")
    return RuntimeFailure(f"cannot set {exc.filename}: {exc.strerror}; check that the cgroup is ours to write")
