"""Which processes belong to which sandbox where no control group says so.

A process belongs by the marker in the environment it was started with, wherever it has been reparented to; by a
member among its ancestors; and, where each sandbox has a user of its own, by that user. Never by a process group,
which `setsid` leaves.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from controller.runtime.procfs import ProcessTable, marker_of

SANDBOX_MARKER: Final = "SANDKEEPER_SANDBOX"

_SETTLED_SECONDS: Final = 2.0


def tree_of(table: ProcessTable, root: int, name: str, value: str) -> frozenset[int]:
    """A process, all below it, and all that carry the marker with all below those; zombies left out."""
    root_uid = table.processes[root].uid if root in table.processes else None
    marked = [
        process.pid
        for process in table.processes.values()
        if root_uid in (None, process.uid) and not process.zombie and marker_of(process.pid, name) == value
    ]
    return frozenset(pid for pid in table.descendants([root, *marked]) if not table.processes[pid].zombie)


class Membership:
    """Assigns processes to sandboxes; remembers the markers it has read. Callable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._markers: dict[tuple[int, float], str] = {}

    def of(self, table: ProcessTable, uids: Mapping[str, int], own: Collection[str]) -> Mapping[str, frozenset[int]]:
        """The living members of every sandbox.

        `uids` is the host uid by id, of all sandboxes there are; `own` are those of which nobody but their other slot
        has that uid, so that a process that lost its marker still belongs to somebody.
        """
        wanted = set(uids.values())
        candidates = [process for process in table.processes.values() if process.uid in wanted]
        found: dict[str, set[int]] = {id: set() for id in uids}
        with self._lock:
            self._forget(table)
            for process in candidates:
                id = self._marker(process.pid, process.start_time)
                if uids.get(id) == process.uid:
                    found[id].add(process.pid)
        taken = {pid for pids in found.values() for pid in pids}
        for pids in found.values():
            below = table.descendants(pids)
            pids.update(below - taken)
            taken |= below
        holders = _sole_holders({id: uids[id] for id in own})
        for process in candidates:
            if process.pid not in taken and process.uid in holders:
                found[holders[process.uid]].add(process.pid)
        return {id: _living(table, pids) for id, pids in found.items()}

    def _marker(self, pid: int, start_time: float) -> str:
        known = self._markers.get((pid, start_time))
        if known is not None:
            return known
        value = marker_of(pid, SANDBOX_MARKER)
        # Between fork and exec a process still shows its parent's environment: only an older absence is remembered.
        if value or time.clock_gettime(time.CLOCK_BOOTTIME) - start_time > _SETTLED_SECONDS:
            self._markers[pid, start_time] = value
        return value

    def _forget(self, table: ProcessTable) -> None:
        if len(self._markers) > 2 * len(table.processes):
            alive = {(process.pid, process.start_time) for process in table.processes.values()}
            self._markers = {known: value for known, value in self._markers.items() if known in alive}


def _sole_holders(uids: Mapping[str, int]) -> dict[int, str]:
    """By uid the one sandbox that has it; while two slots share one, only marker and ancestry tell them apart."""
    holders: dict[int, list[str]] = {}
    for id, uid in uids.items():
        holders.setdefault(uid, []).append(id)
    return {uid: ids[0] for uid, ids in holders.items() if len(ids) == 1}


def _living(table: ProcessTable, pids: Iterable[int]) -> frozenset[int]:
    return frozenset(pid for pid in pids if not table.processes[pid].zombie)
