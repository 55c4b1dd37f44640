"""Usage of many groups every tick: the files stay open and are read by `pread`, about 5 µs each."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import dataclass
from typing import Final

from controller.model.errors import RuntimeFailure
from controller.runtime.cgroup.hierarchy import CgroupPaths

_FILE_BYTES: Final = 8192
_GONE: Final = (errno.ENODEV, errno.ENOENT)
_NANOSECONDS: Final = 1e9
_MICROSECONDS: Final = 1e6


@dataclass(frozen=True, slots=True)
class CgroupSample:
    """Usage of one group now. Sizes are bytes; cpu is seconds since the group was made; pids counts tasks, as the
    limit does. None where the group has no such controller.

    working_set is usage less inactive file cache, as the kubelet counts it. oom_kills counts since the group was made.
    """

    cpu_seconds: float | None
    working_set: int | None
    pids: int | None
    oom_kills: int | None


class CgroupReader:
    """Keeps the files of attached groups open. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: dict[str, _OpenGroup] = {}

    def attach(self, id: str, paths: CgroupPaths) -> None:
        """Open a group's files under an id, in place of any that it had (a restarted container has a new group).

        Raises RuntimeFailure where they cannot be opened; files that the group does not have are left out.
        """
        group = _OpenGroup(paths)
        with self._lock:
            former = self._groups.pop(id, None)
            self._groups[id] = group
        if former is not None:
            former.close()

    def attached(self, id: str) -> bool:
        """Whether `sample` has a group to read."""
        return id in self._groups

    def sample(self, id: str) -> CgroupSample | None:
        """Read a group; None where it was never attached or has been removed, which also detaches it."""
        with self._lock:
            group = self._groups.get(id)
            if group is None:
                return None
            try:
                return group.sample()
            except OSError as exc:
                del self._groups[id]
                group.close()
                if exc.errno in _GONE:
                    return None
                raise RuntimeFailure(f"cannot read the cgroup of {id}: {exc.strerror}") from exc

    def detach(self, id: str) -> None:
        """Close a group's files. Idempotent."""
        with self._lock:
            group = self._groups.pop(id, None)
        if group is not None:
            group.close()

    def close(self) -> None:
        """Close everything."""
        with self._lock:
            groups = list(self._groups.values())
            self._groups.clear()
        for group in groups:
            group.close()


class _OpenGroup:
    """The open files of one group, by what they tell."""

    __slots__ = ("_descriptors", "_inactive", "cpu", "events", "memory", "pids", "stat", "version")

    def __init__(self, paths: CgroupPaths) -> None:
        self._descriptors: list[int] = []
        self.version = paths.version
        names = _V1_FILES if paths.version == 1 else _V2_FILES
        self._inactive = b"total_inactive_file " if paths.version == 1 else b"\ninactive_file "
        try:
            self.cpu, self.memory, self.stat, self.events, self.pids = (
                self._open(paths.of(controller), name) for controller, name in names
            )
        except OSError as exc:
            self.close()
            hint = "raise the limit of open files (LimitNOFILE)" if exc.errno == errno.EMFILE else "look again"
            raise RuntimeFailure(f"cannot open {exc.filename}: {exc.strerror}; {hint}") from exc

    def _open(self, folder: str | None, name: str) -> int | None:
        if folder is None:
            return None
        try:
            descriptor = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        self._descriptors.append(descriptor)
        return descriptor

    def sample(self) -> CgroupSample:
        """Raises OSError ENODEV once the group was removed."""
        usage = _read_number(self.memory)
        working_set = None
        if usage is not None and self.stat is not None:
            working_set = max(0, usage - _field(os.pread(self.stat, _FILE_BYTES, 0), self._inactive))
        oom_kills = None if self.events is None else _field(os.pread(self.events, _FILE_BYTES, 0), b"oom_kill ")
        return CgroupSample(self._cpu_seconds(), working_set, _read_number(self.pids), oom_kills)

    def _cpu_seconds(self) -> float | None:
        if self.cpu is None:
            return None
        if self.version == 1:
            return int(os.pread(self.cpu, _FILE_BYTES, 0)) / _NANOSECONDS
        return _field(os.pread(self.cpu, _FILE_BYTES, 0), b"usage_usec ") / _MICROSECONDS

    def close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())


_V1_FILES: Final = (
    ("cpuacct", "cpuacct.usage"),
    ("memory", "memory.usage_in_bytes"),
    ("memory", "memory.stat"),
    ("memory", "memory.oom_control"),
    ("pids", "pids.current"),
)
_V2_FILES: Final = (
    ("cpu", "cpu.stat"),
    ("memory", "memory.current"),
    ("memory", "memory.stat"),
    ("memory", "memory.events"),
    ("pids", "pids.current"),
)


def _read_number(descriptor: int | None) -> int | None:
    return None if descriptor is None else int(os.pread(descriptor, 64, 0))


def _field(content: bytes, name: bytes) -> int:
    """The number behind a name in a flat-keyed file; 0 where an older kernel has no such line."""
    start = content.find(name)
    if start < 0:
        return 0
    start += len(name)
    end = content.find(b"\n", start)
    return int(content[start : end if end >= 0 else None])
