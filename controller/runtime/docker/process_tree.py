"""Ending the processes of one exec, and nothing else: closing its stream ends none of them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from controller.runtime.cgroup.files import read_pids
from controller.runtime.cgroup.hierarchy import Hierarchy
from controller.runtime.docker.group import group_of
from controller.runtime.procfs import EXEC_MARKER, ProcessTable, marker_of

KILL_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 1.0  # what is frozen or waits for a disk stops no sooner: it is killed as it is
_STOP_PAUSE: Final = 0.001


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
        deadline = time.monotonic() + KILL_SECONDS
        held: dict[int, int] = {}
        try:
            while self._stop(folder, held, deadline) and _end(held.values(), deadline):
                if not self._members(ProcessTable.snapshot(), folder):
                    return True
        except PermissionError:
            return False
        finally:
            for descriptor in held.values():
                os.close(descriptor)
        return False

    def _stop(self, folder: str, held: dict[int, int], deadline: float) -> bool:
        """Stop every member first, since what is stopped forks no more; False where new ones come without end.

        Each is held by a descriptor before it is looked at again, so that no pid can change hands in between. One that
        was signalled amid a fork has its child before it stops: all are seen stopped before no child is believed.
        """
        settled_by = min(deadline, time.monotonic() + _STOP_SECONDS)
        while True:
            table = ProcessTable.snapshot()
            new = self._members(table, folder) - held.keys()
            for pid in new:
                _hold_and_stop(pid, folder, held)
            if not new and (_are_at_rest(table, held) or time.monotonic() > settled_by):
                return True
            if time.monotonic() > deadline:
                return False
            if not new:
                time.sleep(_STOP_PAUSE)  # nobody but its parent is told that a process has stopped

    def _members(self, table: ProcessTable, folder: str) -> frozenset[int]:
        family = table.descendants([self.root])
        inside = read_pids(folder) - {self.container_pid, os.getpid()}
        return frozenset(
            pid
            for pid in inside
            if (process := table.processes.get(pid)) is not None
            and not process.zombie
            and (pid in family or marker_of(pid, EXEC_MARKER) == self.token)
        )


def _hold_and_stop(pid: int, folder: str, held: dict[int, int]) -> None:
    descriptor = _held(pid)
    if descriptor is None:
        return
    if pid not in read_pids(folder):
        os.close(descriptor)
        return
    held[pid] = descriptor
    _signal(descriptor, signal.SIGSTOP)


def _are_at_rest(table: ProcessTable, pids: Iterable[int]) -> bool:
    found = (table.processes.get(pid) for pid in pids)
    return all(process is None or process.zombie or process.stopped for process in found)


def _end(descriptors: Collection[int], deadline: float) -> bool:
    """Kill all that are stopped, and wait until they are gone; a frozen one goes when it is thawed."""
    waiter = select.poll()
    for descriptor in descriptors:
        _signal(descriptor, signal.SIGKILL)
        waiter.register(descriptor, select.POLLIN)
    left = set(descriptors)
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
