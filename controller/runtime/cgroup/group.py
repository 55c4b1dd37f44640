"""A group of our own, for a sandbox without a container engine."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from controller.model.errors import ConflictError, InstanceNotFoundError, RuntimeFailure
from controller.model.spec import Limits
from controller.runtime.cgroup import files
from controller.runtime.cgroup.hierarchy import CgroupPaths
from controller.runtime.cgroup.limits import apply_limits

FREEZE_SECONDS: Final = 5.0
KILL_SECONDS: Final = 10.0
REMOVE_SECONDS: Final = 5.0
_FIRST_PAUSE: Final = 0.0005
_LONGEST_PAUSE: Final = 0.02


class CgroupGroup:
    """One folder in each hierarchy (v1) or in the only one (v2). CgroupRoot.group makes it; nothing is held open.

    Methods raise RuntimeFailure (InstanceNotFoundError where the group is gone).
    """

    def __init__(self, name: str, paths: CgroupPaths) -> None:
        self.name = name
        self.paths = paths

    def exists(self) -> bool:
        """Whether every folder of it is there."""
        return all(Path(folder).is_dir() for folder in self.paths.folders())

    def apply(self, limits: Limits) -> None:
        """Put memory, cpu and pids in force. Raises ResizePendingError below memory in use: nothing has changed."""
        apply_limits(self.paths, limits)

    def procs(self) -> frozenset[int]:
        """Every process in it and in groups below it, zombies left out; empty where the group is gone."""
        return frozenset().union(*(files.read_pids(folder) for folder in self.paths.folders()))

    def freezable(self) -> bool:
        """Whether `freeze` works here."""
        return files.exists(self.paths.freezer, "freezer.state" if self.paths.version == 1 else "cgroup.freeze")

    def frozen(self) -> bool:
        """Whether every process in it is frozen."""
        if self.paths.version == 1:
            return files.read(self.paths.freezer, "freezer.state") == "FROZEN"
        return "frozen 1" in (files.read(self.paths.freezer, "cgroup.events") or "")

    def freeze(self) -> None:
        """Freeze every process, those forked meanwhile too; thaws again and raises where that does not come about."""
        deadline = time.monotonic() + FREEZE_SECONDS
        self._set_frozen(True)
        while not _until(self.frozen, 0.05):
            if time.monotonic() > deadline:
                self.thaw()
                raise ConflictError(f"{self.name} does not freeze; a process of it waits in the kernel: try again")
            self._set_frozen(True)  # v1 can miss a process that was just forked

    def thaw(self) -> None:
        """Let every process go on. Idempotent."""
        self._set_frozen(False)

    def kill(self) -> None:
        """SIGKILL to every process, however fast they fork, frozen or not; returns when none is left."""
        deadline = time.monotonic() + KILL_SECONDS
        while self.procs():
            if time.monotonic() > deadline:
                raise RuntimeFailure(
                    f"processes {sorted(self.procs())} of {self.name} do not die: look at them by hand"
                )
            if self.paths.version == 2 and files.exists(self.paths.freezer, "cgroup.kill"):
                self._write("cgroup.kill", "1")
            else:
                self._kill_while_frozen()
            _until(lambda: not self.procs(), 0.25)

    def remove(self) -> None:
        """Remove the folders, and those below; waits for zombies to leave. Raises ConflictError while it is in use."""
        for folder in self.paths.folders():
            if not _until(partial(_removed, folder), REMOVE_SECONDS):
                raise ConflictError(f"{folder} is still in use by {sorted(self.procs())}: end those first")

    def _kill_while_frozen(self) -> None:
        """What is frozen cannot fork, so that no child escapes between the reading and the killing."""
        freezable = self.freezable()
        if freezable:
            self._set_frozen(True)
            _until(self.frozen, 0.25)
        try:
            for pid in self.procs():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        finally:
            if freezable:
                self._set_frozen(False)

    def _set_frozen(self, frozen: bool) -> None:
        if self.paths.version == 1:
            self._write("freezer.state", "FROZEN" if frozen else "THAWED")
        else:
            self._write("cgroup.freeze", "1" if frozen else "0")

    def _write(self, name: str, value: str) -> None:
        if self.paths.freezer is None:
            raise RuntimeFailure("this machine lets us have no freezer cgroup: pausing is not possible, stop instead")
        try:
            files.write(self.paths.freezer, name, value)
        except OSError as exc:
            if exc.errno in files.GONE:
                raise InstanceNotFoundError(f"the cgroup of {self.name} is gone") from exc
            raise RuntimeFailure(f"cannot write {exc.filename}: {exc.strerror}") from exc


def _removed(folder: str) -> bool:
    """Remove a group and those below it; False while something is in one of them."""
    try:
        for below, _, _ in os.walk(folder, topdown=False):
            os.rmdir(below)  # noqa: PTH106 - beside os.walk, whose names are text
    except FileNotFoundError:
        return not Path(folder).exists()
    except OSError as exc:
        if exc.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return False
        raise RuntimeFailure(f"cannot remove {folder}: {exc.strerror}") from exc
    return True


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask with growing pauses until the condition holds; v1 has no event for either freezing or leaving."""
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(_LONGEST_PAUSE, pause * 2)
    return True
