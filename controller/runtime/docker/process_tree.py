"""Ending the processes of one exec, and nothing else: closing its stream ends none of them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from controller.runtime.cgroup.files import read_pids
from controller.runtime.cgroup.hierarchy import Hierarchy
from controller.runtime.docker.group import group_of
from controller.runtime.procfs import EXEC_MARKER, ProcessTable, marker_of

KILL_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class ExecTree:
    """The processes of one exec: `root` and what descends from it, and those that carry its `token` as their
    marker, since a double fork leaves the family; all of them in the cgroup of the container of that id and
    first process.
    """

    root: int
    token: str
    container_id: str
    container_pid: int

    def kill(self, hierarchy: Hierarchy) -> bool:
        """SIGKILL until none is left. False where that is not ours to do (another user, another kernel inside)."""
        paths = group_of(hierarchy, self.container_id, self.container_pid)
        if paths is None:
            return False
        folder = paths.folders()[0]
        if hierarchy.groups_of(self.root) and self.root not in read_pids(folder):
            return False
        held: dict[int, int] = {}
        try:
            return self._stop(folder, held) and _end(held.values())
        except PermissionError:
            return False
        finally:
            for descriptor in held.values():
                os.close(descriptor)

    def _stop(self, folder: str, held: dict[int, int]) -> bool:
        """Stop every member first, since what is stopped forks no more; False where new ones come without end.

        Each is held by a descriptor before it is looked at again, so that no pid can change hands in between.
        """
        deadline = time.monotonic() + KILL_SECONDS
        while new := self._members(folder) - held.keys():
            for pid in new:
                descriptor = _held(pid)
                if descriptor is None:
                    continue
                if pid not in read_pids(folder):
                    os.close(descriptor)
                    continue
                held[pid] = descriptor
                _signal(descriptor, signal.SIGSTOP)
            if time.monotonic() > deadline:
                return False
        return True

    def _members(self, folder: str) -> frozenset[int]:
        table = ProcessTable.snapshot()
        family = table.descendants([self.root])
        inside = read_pids(folder) - {self.container_pid, os.getpid()}
        return frozenset(
            pid
            for pid in inside
            if (process := table.processes.get(pid)) is not None
            and not process.zombie
            and (pid in family or marker_of(pid, EXEC_MARKER) == self.token)
        )


def _end(descriptors: Collection[int]) -> bool:
    """Kill all that are stopped, and wait until they are gone; a frozen one goes when it is thawed."""
    waiter = select.poll()
    for descriptor in descriptors:
        _signal(descriptor, signal.SIGKILL)
        waiter.register(descriptor, select.POLLIN)
    left, deadline = set(descriptors), time.monotonic() + KILL_SECONDS
    while left:
        gone = waiter.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not gone:
            return False
        for descriptor, _ in gone:
            waiter.unregister(descriptor)
            left.discard(descriptor)
    return True


def _held(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _signal(descriptor: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, number)
