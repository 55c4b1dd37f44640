"""Instances read back from their control groups."""

from __future__ import annotations

from dataclasses import replace

from controller.model.observed import InstanceState, Observed
from controller.runtime.cgroup.limits import read_limits
from controller.runtime.directory.groups import Groups
from controller.runtime.directory.inventory import Entry
from controller.runtime.directory.observe import Observer, live_limits
from controller.runtime.directory.processes import Processes


class LiveObserver:
    """What an Observer sees, with limits and pause as they are in force."""

    def __init__(self, observer: Observer, groups: Groups, processes: Processes) -> None:
        self._observer = observer
        self._groups = groups
        self._processes = processes

    def inspect(self, entry: Entry) -> Observed | None:
        """The instance now; None where it has just been removed."""
        seen = self._observer.observe(entry)
        group = self._groups.existing(entry.id)
        if seen is None or group is None:
            return seen
        found = read_limits(group.paths)
        asked = entry.record.limits
        limits = live_limits(asked, replace(asked, memory=found.memory, cpu=found.cpu, pids=found.pids), found.known)
        state = seen.state
        if state in (InstanceState.RUNNING, InstanceState.PAUSED):
            state = InstanceState.PAUSED if self._processes.is_frozen(entry) else InstanceState.RUNNING
        return replace(seen, limits=limits, state=state)
