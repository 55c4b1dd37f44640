"""Where groups of our own may be: `sandkeeper-<instance8>/<name>` as high in each hierarchy as we may write."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog

from controller.model.errors import ConflictError, RuntimeFailure, UsageError
from controller.runtime.cgroup import files
from controller.runtime.cgroup.group import CgroupGroup
from controller.runtime.cgroup.hierarchy import CONTROLLERS, CgroupPaths, Hierarchy

log = structlog.get_logger(__name__)

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ALWAYS_ON_V2: Final = frozenset({"cpuacct", "freezer"})  # cpu.stat and cgroup.freeze need no controller
_SWITCHED_ON_V2: Final = frozenset({"memory", "cpu", "pids"})


class CgroupRoot:
    """The folder of one instance in each hierarchy. Looks only; `create` is the first that writes.

    High up, where engines with the cgroupfs driver put theirs, and not below the daemon's own group: sandboxes
    outlive the daemon, and a service manager could not start it again in a v2 group that has groups with limits below.
    """

    def __init__(self, instance: str, hierarchy: Hierarchy | None = None) -> None:
        self._hierarchy = hierarchy if hierarchy is not None else Hierarchy.detect()
        self.name = f"sandkeeper-{hashlib.sha256(instance.encode()).hexdigest()[:8]}"
        self._parents = {name: parent for name in CONTROLLERS if (parent := self._parent(name)) is not None}

    def writable_controllers(self) -> frozenset[str]:
        """Those of CONTROLLERS in which we can have groups of our own: usually all as root, none or some otherwise."""
        if self._hierarchy.version != 2 or not self._parents:
            return frozenset(self._parents)
        parent = self._parents["memory"]
        offered = set((files.read(parent, "cgroup.controllers") or "").split())
        switched_on = set((files.read(parent, "cgroup.subtree_control") or "").split())
        usable = offered if self._may_switch_on(parent) else offered & switched_on
        return _ALWAYS_ON_V2 | (usable & _SWITCHED_ON_V2)

    def group(self, name: str) -> CgroupGroup:
        """A group by its name, made or not. Raises UsageError on a name that is not one of a folder."""
        if not _NAME.fullmatch(name) or len(name) > 200:
            raise UsageError(f"{name!r} cannot be a cgroup's name")
        folders = {controller: f"{parent}/{self.name}/{name}" for controller, parent in self._parents.items()}
        return CgroupGroup(name, CgroupPaths(self._hierarchy.version, **folders))

    def create(self, name: str) -> CgroupGroup:
        """Make a group's folders, or adopt those that are there. Raises RuntimeFailure."""
        group = self.group(name)
        try:
            for parent in dict.fromkeys(self._parents.values()):
                if self._hierarchy.version == 2:
                    self._switch_on(parent)
                own = Path(parent, self.name)
                own.mkdir(exist_ok=True)
                if self._hierarchy.version == 2:
                    self._switch_on(str(own))
            for folder in group.paths.folders():
                Path(folder).mkdir(exist_ok=True)
        except OSError as exc:
            raise RuntimeFailure(f"cannot make the cgroup {exc.filename}: {exc.strerror}") from exc
        return group

    def names(self) -> frozenset[str]:
        """The names of the groups that are there, so that those of nobody can be removed."""
        found: set[str] = set()
        for parent in dict.fromkeys(self._parents.values()):
            own = Path(parent, self.name)
            if own.is_dir():
                found.update(entry.name for entry in os.scandir(own) if entry.is_dir(follow_symlinks=False))
        return frozenset(found)

    def remove(self) -> None:
        """Remove the instance's folders. Raises ConflictError while a group is left in them."""
        for parent in dict.fromkeys(self._parents.values()):
            try:
                Path(parent, self.name).rmdir()
            except FileNotFoundError:
                continue
            except OSError as exc:
                raise ConflictError(f"{exc.filename} still holds groups: remove those first") from exc

    def _parent(self, controller: str) -> str | None:
        """The highest folder from the mount's top down to our own group in which we may make and fill groups."""
        own = self._hierarchy.groups_of("self").get(controller, "/")
        for mount in self._hierarchy.mounts_of(controller):
            for folder in _downward(mount.point, mount.folder(own)):
                if os.access(folder, os.W_OK) and os.access(f"{folder}/cgroup.procs", os.W_OK):
                    return folder
        return None

    def _may_switch_on(self, parent: str) -> bool:
        """v2 hands controllers down only from a group without processes, the machine's very top excepted."""
        if not os.access(f"{parent}/cgroup.subtree_control", os.W_OK):
            return False
        is_top = not files.exists(parent, "cgroup.type")
        inside = (files.read(parent, "cgroup.procs") or "").split()
        return is_top or not inside or self._may_evacuate(parent, inside)

    def _may_evacuate(self, parent: str, inside: list[str]) -> bool:
        """Processes are moved aside only where all are ours to move: alone in it, or at the top of a container."""
        at_the_top = any(mount.point == parent for mount in self._hierarchy.mounts_of("memory"))
        return at_the_top or inside == [str(os.getpid())]

    def _switch_on(self, folder: str) -> None:
        """Hand down what controllers there are; one that cannot be is left off, as the limits read back will show."""
        offered = set((files.read(folder, "cgroup.controllers") or "").split())
        missing = (offered & _SWITCHED_ON_V2) - set((files.read(folder, "cgroup.subtree_control") or "").split())
        for controller in sorted(missing):
            try:
                self._switch_on_one(folder, controller)
            except OSError as exc:
                log.warning("cgroup_controller_left_off", controller=controller, folder=folder, error=exc.strerror)

    def _switch_on_one(self, folder: str, controller: str) -> None:
        try:
            files.write(folder, "cgroup.subtree_control", f"+{controller}")
        except OSError as exc:
            inside = (files.read(folder, "cgroup.procs") or "").split()
            if exc.errno != errno.EBUSY or not self._may_evacuate(folder, inside):
                raise
            _evacuate(folder, inside)
            files.write(folder, "cgroup.subtree_control", f"+{controller}")


def _evacuate(folder: str, pids: list[str]) -> None:
    leaf = Path(folder, "init")
    leaf.mkdir(exist_ok=True)
    for pid in pids:
        try:
            files.write(str(leaf), "cgroup.procs", pid)
        except ProcessLookupError:
            continue


def _downward(top: str, leaf: str | None) -> Iterator[str]:
    """The folders from top to leaf, both included."""
    yield top
    if leaf is None:
        return
    folder = top
    for part in Path(leaf).relative_to(top).parts:
        folder = f"{folder}/{part}"
        yield folder
