"""The processes of an instance: found, signalled, waited for."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable, Mapping
from typing import Final

from controller.model.errors import ConflictError, RuntimeFailure
from controller.runtime.directory.groups import Groups
from controller.runtime.directory.inventory import Entry, Inventory
from controller.runtime.directory.membership import Membership
from controller.runtime.directory.uids import HostUids
from controller.runtime.killing import end_all
from controller.runtime.procfs import ProcessTable

KILL_SECONDS: Final = 10.0
_ROUND_SECONDS: Final = 0.25
_FREEZE_ROUNDS: Final = 20
_OPEN_AT_ONCE: Final = 128
_LONGEST_WAIT: Final = 3600.0  # poll takes at most 2³¹ milliseconds


class Processes:
    """Finds members by control group where there is one, and by marker, ancestry and user."""

    def __init__(self, groups: Groups, inventory: Inventory, host_uids: HostUids) -> None:
        self._groups = groups
        self._inventory = inventory
        self._host_uids = host_uids
        self._membership = Membership()

    def scan(self, table: ProcessTable, *also: Entry) -> Mapping[str, frozenset[int]]:
        """The members of every instance, without regard to control groups, in one picture of /proc.

        `also` are instances that are not (or not any more) to be found in the state folder.
        """
        own = os.geteuid()
        records = {entry.id: entry.record for entry in (*also, *self._inventory.entries())}
        uids = {id: own if record.host_uid is None else record.host_uid for id, record in records.items()}
        sole = {id for id, record in records.items() if self._host_uids.has(record.host_uid, record.owner.uid)}
        return self._membership.of(table, uids, sole)

    def members(self, entry: Entry) -> frozenset[int]:
        """The living processes of one instance."""
        group = self._groups.of(entry.id)
        in_group = group.procs() if group is not None else frozenset()
        return in_group | self.scan(ProcessTable.snapshot(), entry)[entry.id]

    def terminate(self, entry: Entry, grace: float) -> None:
        """SIGTERM to every process, thawed so that it can obey; returns when they have ended or the grace is over."""
        deadline = time.monotonic() + grace
        pids = self.members(entry)
        _signal(pids, signal.SIGTERM)
        self.thaw(entry)
        _wait_for(pids, deadline)

    def kill(self, entry: Entry) -> None:
        """SIGKILL to every process until none is left. Raises RuntimeFailure where one does not die."""
        self.kill_group(entry.id)
        deadline = time.monotonic() + KILL_SECONDS
        while pids := self._end(entry):
            if time.monotonic() > deadline:
                raise RuntimeFailure(f"processes {sorted(pids)} of {entry.id} do not die: look at them by hand")
            _wait_for(pids, time.monotonic() + _ROUND_SECONDS)

    def _end(self, entry: Entry) -> frozenset[int]:
        try:
            return end_all(lambda: self.members(entry))
        except PermissionError as exc:
            raise RuntimeFailure(f"a process of {entry.id} is not ours to signal: {exc.strerror}") from exc

    def kill_group(self, id: str) -> bool:
        """SIGKILL to every process of its group until none is left; False where there is no group."""
        group = self._groups.existing(id)
        if group is None:
            return False
        group.kill()
        return True

    def freeze(self, entry: Entry) -> None:
        """Stop every process, those forked meanwhile too. Raises ConflictError where they fork faster than that."""
        group = self._groups.existing(entry.id)
        if group is not None and group.freezable():
            group.freeze()
            return
        stopped: frozenset[int] = frozenset()
        for _ in range(_FREEZE_ROUNDS):
            pids = self.members(entry)
            if pids <= stopped:
                return
            _signal(pids, signal.SIGSTOP)
            stopped |= pids
        self.thaw(entry)
        raise ConflictError(f"{entry.id} forks faster than it can be stopped: try again, or stop it")

    def thaw(self, entry: Entry) -> None:
        """Let every process go on. Idempotent."""
        group = self._groups.existing(entry.id)
        if group is not None and group.freezable():
            group.thaw()
        elif entry.paused:
            _signal(self.members(entry), signal.SIGCONT)

    def is_frozen(self, entry: Entry) -> bool:
        """Whether it is still as paused as it was made: by its group where there is one, else by its record."""
        group = self._groups.existing(entry.id)
        if group is not None and group.freezable():
            return group.frozen()
        return entry.paused


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        except PermissionError as exc:
            raise RuntimeFailure(f"process {pid} is not ours to signal: {exc.strerror}") from exc


def _wait_for(pids: Iterable[int], deadline: float) -> None:
    """Until every process has ended or the time has come; by descriptors of processes, some at once."""
    rest = list(pids)
    while rest and time.monotonic() < deadline:
        batch, rest = rest[:_OPEN_AT_ONCE], rest[_OPEN_AT_ONCE:]
        _wait_for_batch(batch, deadline)


def _wait_for_batch(pids: Iterable[int], deadline: float) -> None:
    poll = select.poll()
    descriptors = set()
    try:
        for pid in pids:
            try:
                descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            except OSError as exc:
                raise RuntimeFailure(f"cannot wait for process {pid}: {exc.strerror}; raise LimitNOFILE") from exc
            descriptors.add(descriptor)
            poll.register(descriptor, select.POLLIN)
        waiting = set(descriptors)
        while waiting and (left := deadline - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(min(left, _LONGEST_WAIT) * 1000):
                poll.unregister(descriptor)
                waiting.discard(descriptor)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
