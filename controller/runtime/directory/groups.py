"""The control groups of directory sandboxes, as far as this machine lets us have any."""

from __future__ import annotations

import threading

from controller.model.errors import RuntimeFailure
from controller.model.spec import Limits
from controller.runtime.cgroup.group import CgroupGroup
from controller.runtime.cgroup.hierarchy import CgroupPaths
from controller.runtime.cgroup.root import CgroupRoot

_UPDATABLE = frozenset({"memory", "cpu", "pids"})


class Groups:
    """One group for each instance, by its id. `root` None: there are to be none."""

    def __init__(self, root: CgroupRoot | None) -> None:
        self._root = root
        self._lock = threading.Lock()  # the folder above the groups goes with the last of them
        self.controllers = root.writable_controllers() if root is not None else frozenset()

    @property
    def updatable(self) -> frozenset[str]:
        """The limits that a group can put in force, also on what runs."""
        return self.controllers & _UPDATABLE

    def of(self, id: str) -> CgroupGroup | None:
        """The group of an instance, made or not; None where there are no groups."""
        return self._root.group(id) if self._root is not None and self.controllers else None

    def existing(self, id: str) -> CgroupGroup | None:
        """The group of an instance where it is there."""
        group = self.of(id)
        return group if group is not None and group.exists() else None

    def ensure(self, id: str, limits: Limits) -> CgroupGroup | None:
        """Have the group, with its limits in force where it had to be made. Raises RuntimeFailure."""
        group = self.of(id)
        if group is None or self._root is None or group.exists():
            return group
        with self._lock:
            group = self._root.create(id)
        group.apply(limits)
        return group

    def fresh(self, id: str, limits: Limits) -> CgroupGroup | None:
        """An empty group, its counters at zero, with its limits in force. Raises ConflictError while it is in use."""
        group = self.of(id)
        if group is None:
            return None
        group.remove()
        return self.ensure(id, limits)

    def remove(self, id: str) -> None:
        """Remove an empty group, and the folder above where it was the last. Idempotent; raises ConflictError while it
        is in use.
        """
        group = self.of(id)
        if group is None or self._root is None:
            return
        group.remove()
        with self._lock:
            if not self._root.names():
                self._root.remove()

    def names(self) -> frozenset[str]:
        """The ids of the groups that are there."""
        return self._root.names() if self._root is not None else frozenset()


def join_files(group: CgroupGroup) -> list[str]:
    """The files to which a process with one thread writes `0` to join. Raises nothing.

    On v1 `tasks`, since a thread that moves itself does not have to wait for the whole machine as `cgroup.procs` makes
    it do, some milliseconds for each hierarchy.
    """
    name = "tasks" if group.paths.version == 1 else "cgroup.procs"
    return [f"{folder}/{name}" for folder in group.paths.folders()]


def oom_file(paths: CgroupPaths) -> str:
    """Where the kernel counts its kills; empty where it does not."""
    if paths.memory is None:
        return ""
    return f"{paths.memory}/{'memory.oom_control' if paths.version == 1 else 'memory.events'}"


def cgroup_root(instance: str) -> CgroupRoot | None:
    """The instance's place in the hierarchies; None where they cannot be looked at."""
    try:
        return CgroupRoot(instance)
    except (OSError, RuntimeFailure):
        return None
