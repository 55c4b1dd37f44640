"""Where the control groups of this machine are: v1 (a mount for each controller), v2 (one mount), or both at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONTROLLERS: Final = ("memory", "cpu", "cpuacct", "pids", "freezer")
UNIFIED: Final = ""  # as /proc/<pid>/cgroup names the v2 hierarchy


@dataclass(frozen=True, slots=True)
class CgroupPaths:
    """The folder of one group for each controller, absolute; None where there is none. On v2 all are the same."""

    version: int
    memory: str | None = None
    cpu: str | None = None
    cpuacct: str | None = None
    pids: str | None = None
    freezer: str | None = None

    def of(self, controller: str) -> str | None:
        """The folder of one of CONTROLLERS."""
        folder: str | None = getattr(self, controller)
        return folder

    def folders(self) -> tuple[str, ...]:
        """The distinct folders."""
        return tuple(dict.fromkeys(folder for name in CONTROLLERS if (folder := self.of(name)) is not None))


@dataclass(frozen=True, slots=True)
class CgroupMount:
    """One mount of a hierarchy: the folder `point` shows the group `root` (not `/` inside containers)."""

    root: str
    point: str

    def folder(self, group: str) -> str | None:
        """Where a group is seen in this mount; None where it lies outside of what the mount shows."""
        if ".." in group.split("/") or ".." in self.root.split("/"):
            return None  # a group outside of our cgroup namespace
        root = self.root.rstrip("/")
        if group != root and not group.startswith(f"{root}/"):
            return None
        return (self.point + group[len(root) :]).rstrip("/")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """The machine's mounts by controller (v1) or under UNIFIED (v2). `version` is 0 where no cgroup mount is seen.

    A hybrid machine (controllers on v1, an empty v2 beside them) counts as version 1.
    """

    version: int
    mounts: Mapping[str, tuple[CgroupMount, ...]]
    proc: str = "/proc"

    @classmethod
    def detect(cls, proc: str = "/proc") -> Hierarchy:
        """Read the mounts that this process sees. `proc` is where procfs is mounted."""
        mounts: dict[str, tuple[CgroupMount, ...]] = {}
        for line in _read_lines(f"{proc}/self/mountinfo"):
            for controller, mount in _cgroup_mounts(line):
                mounts[controller] = (*mounts.get(controller, ()), mount)
        if any(controller in mounts for controller in ("memory", "cpu", "pids")):
            return cls(1, mounts, proc)
        return cls(2 if UNIFIED in mounts else 0, mounts, proc)

    def mounts_of(self, controller: str) -> tuple[CgroupMount, ...]:
        """The mounts in which a controller's groups are seen."""
        return self.mounts.get(UNIFIED if self.version == 2 else controller, ())

    def groups_of(self, pid: int | str) -> Mapping[str, str]:
        """The group of a process in each controller, as the kernel names it; empty where the process is gone."""
        groups = {}
        for line in _read_lines(f"{self.proc}/{pid}/cgroup"):
            _, names, group = line.split(":", 2)
            groups.update(dict.fromkeys(names.split(","), group))
        if self.version == 2 and UNIFIED in groups:
            return dict.fromkeys(CONTROLLERS, groups[UNIFIED])
        return groups

    def paths_of(self, pid: int) -> CgroupPaths | None:
        """The folders of a process's own group, each of which exists; None where the process is gone.

        A controller in which it sits at the top, among everybody, has no folder of its own: None there.
        """
        groups = self.groups_of(pid)
        if not groups:
            return None
        return CgroupPaths(self.version, **{name: self._folder(name, groups.get(name)) for name in CONTROLLERS})

    def _folder(self, controller: str, group: str | None) -> str | None:
        if group is None:
            return None
        for mount in self.mounts_of(controller):
            folder = mount.folder(group)
            if folder is not None and folder != mount.point and Path(folder).is_dir():
                return folder
        return None


def _cgroup_mounts(line: str) -> list[tuple[str, CgroupMount]]:
    """The controllers that one line of mountinfo mounts (proc(5): optional fields end with a lone dash)."""
    fields, _, rest = line.partition(" - ")
    kind, _, options = rest.partition(" ")
    if kind not in ("cgroup", "cgroup2"):
        return []
    parts = fields.split(" ")
    mount = CgroupMount(_unescape(parts[3]), _unescape(parts[4]))
    if kind == "cgroup2":
        return [(UNIFIED, mount)]
    super_options = options.rpartition(" ")[2].split(",")
    return [(name, mount) for name in CONTROLLERS if name in super_options]


def _unescape(text: str) -> str:
    """mountinfo writes space, tab, newline and backslash in octal."""
    if "\\" not in text:
        return text
    return os.fsdecode(os.fsencode(text).decode("unicode_escape").encode("latin-1"))


def _read_lines(path: str) -> list[str]:
    try:
        return os.fsdecode(Path(path).read_bytes()).splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return []
