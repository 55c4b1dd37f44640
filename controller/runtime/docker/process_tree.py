"""Ending the processes of one exec, and nothing else: closing its stream ends none of them."""

from __future__ import annotations

import os
import select
import signal
import time
from dataclasses import dataclass
from typing import Final

from controller.runtime.cgroup.files import read_pids
from controller.runtime.cgroup.hierarchy import Hierarchy
from controller.runtime.docker.group import group_of
from controller.runtime.procfs import ProcessTable, environ_has

KILL_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class ExecTree:
    """The processes of one exec: `root` and what descends from it, and those that carry its `marker` (NAME=value) in
    their environment, since a double fork leaves the family; all of them in the cgroup of the container of that id and
    first process.
    """

    root: int
    marker: str
    container_id: str
    container_pid: int

    def kill(self, hierarchy: Hierarchy) -> bool:
        """SIGKILL until none is left. False where that is not ours to do (another user, another kernel inside).

        What is killed is held by a descriptor first, so that no pid can change hands in between.
        """
        paths = group_of(hierarchy, self.container_id, self.container_pid)
        if paths is None:
            return False
        folder = paths.folders()[0]
        if hierarchy.groups_of(self.root) and self.root not in read_pids(folder):
            return False
        deadline = time.monotonic() + KILL_SECONDS
        while victims := self._victims(folder):
            if time.monotonic() > deadline or not all(_kill(pid, folder, deadline) for pid in victims):
                return False
        return True

    def _victims(self, folder: str) -> frozenset[int]:
        table = ProcessTable.snapshot()
        family = table.descendants([self.root])
        members = read_pids(folder) - {self.container_pid, os.getpid()}
        return frozenset(
            pid
            for pid in members
            if (process := table.processes.get(pid)) is not None
            and not process.zombie
            and (pid in family or environ_has(pid, self.marker))
        )


def _kill(pid: int, folder: str, deadline: float) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if pid not in read_pids(folder):
            return True
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        waiter = select.poll()
        waiter.register(descriptor, select.POLLIN)
        waiter.poll(max(0.0, deadline - time.monotonic()) * 1000)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    finally:
        os.close(descriptor)
    return True
