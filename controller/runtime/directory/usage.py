"""What the tick asks: usage from control groups, and for what has none one pass over /proc for all of it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from controller.model.clock import Clock
from controller.model.errors import RuntimeFailure
from controller.model.observed import InstanceState, Observed, Usage
from controller.runtime.cgroup.reader import CgroupReader, CgroupSample
from controller.runtime.directory.groups import Groups
from controller.runtime.directory.processes import Processes
from controller.runtime.disk import DiskWalker
from controller.runtime.procfs import ProcessTable

log = structlog.get_logger(__name__)

_LIVE: Final = (InstanceState.RUNNING, InstanceState.PAUSED)
CGROUP: Final = "cgroup"
TICK: Final = "tick"


@dataclass(frozen=True, slots=True)
class _Figures:
    """Usage but its disk."""

    cpu_seconds: float
    working_set: int
    pids: int
    oom_kills: int
    mechanism: str


class UsageMeter:
    """Keeps control groups' files open and has disks walked. Callable from any thread."""

    def __init__(self, groups: Groups, processes: Processes, disk: DiskWalker, clock: Clock) -> None:
        self._groups = groups
        self._processes = processes
        self._disk = disk
        self._clock = clock
        self._reader = CgroupReader()
        self._lock = threading.Lock()
        self._runs: dict[str, float | None] = {}
        self._walked: dict[str, tuple[str, ...]] = {}
        self._cpu: dict[str, float] = {}

    def measure(self, instances: Sequence[Observed], folders: Mapping[str, tuple[str, ...]]) -> Mapping[str, Usage]:
        """A measurement of each that is up, by id. `folders` are what its disk usage counts. Others are let go."""
        live = [seen for seen in instances if seen.state in _LIVE]
        with self._lock:
            self._let_go({seen.id for seen in live})
            for seen in live:
                self._take_up(seen, folders.get(seen.id, ()))
            samples = {seen.id: self._sampled(seen.id) for seen in live}
            unseen = [id for id, sample in samples.items() if not _is_whole(sample)]
            found = self._from_proc(unseen)
            figures = {seen.id: _joined(samples[seen.id], found.get(seen.id)) for seen in live}
            return {id: self._usage(id, figure) for id, figure in figures.items()}

    def forget(self, id: str) -> None:
        """Measure it no more, or from its beginning: its group is to be removed."""
        with self._lock:
            self._drop(id)

    def close(self) -> None:
        """Close every file."""
        with self._lock:
            self._let_go(set())
            self._reader.close()

    def _let_go(self, live: set[str]) -> None:
        for id in (self._runs.keys() | self._walked.keys()) - live:
            self._drop(id)

    def _drop(self, id: str) -> None:
        self._runs.pop(id, None)
        self._cpu.pop(id, None)
        self._reader.detach(id)
        if self._walked.pop(id, None) is not None:
            self._disk.forget(id)

    def _take_up(self, seen: Observed, folders: tuple[str, ...]) -> None:
        if folders and self._walked.get(seen.id) != folders:
            self._walked[seen.id] = folders
            self._disk.watch(seen.id, folders)
        if self._runs.get(seen.id) == seen.started_at and self._reader.attached(seen.id):
            return
        if self._runs.get(seen.id) != seen.started_at:
            self._cpu.pop(seen.id, None)
        self._runs[seen.id] = seen.started_at
        group = self._groups.existing(seen.id)
        if group is None:
            return
        try:
            self._reader.attach(seen.id, group.paths)
        except RuntimeFailure as exc:
            log.warning("cgroup_not_read", id=seen.id, error=str(exc))

    def _sampled(self, id: str) -> CgroupSample | None:
        try:
            return self._reader.sample(id)
        except RuntimeFailure as exc:
            log.warning("cgroup_not_read", id=id, error=str(exc))
            return None

    def _from_proc(self, ids: Iterable[str]) -> Mapping[str, _Figures]:
        wanted = list(ids)
        if not wanted:
            return {}
        table = ProcessTable.snapshot()
        members = self._processes.scan(table)
        return {id: self._summed(id, table, members.get(id, frozenset())) for id in wanted}

    def _summed(self, id: str, table: ProcessTable, pids: frozenset[int]) -> _Figures:
        """cpu time never falls: what a process used that nobody of the sandbox waited for would be missing else."""
        processes = [table.processes[pid] for pid in pids]
        cpu = sum(process.cpu_seconds + process.reaped_cpu_seconds for process in processes)
        self._cpu[id] = max(self._cpu.get(id, 0.0), cpu)
        return _Figures(
            cpu_seconds=self._cpu[id],
            working_set=sum(process.rss for process in processes),
            pids=sum(process.threads for process in processes),
            oom_kills=0,
            mechanism=TICK,
        )

    def _usage(self, id: str, figures: _Figures) -> Usage:
        disk = self._disk.usage(id)
        return Usage(
            at=self._clock.now(),
            cpu_seconds=figures.cpu_seconds,
            working_set=figures.working_set,
            pids=figures.pids,
            oom_kills=figures.oom_kills,
            disk=None if disk is None else disk.bytes,
            disk_age=None if disk is None else self._clock.monotonic() - disk.at,
            mechanism=figures.mechanism,
        )


def _is_whole(sample: CgroupSample | None) -> bool:
    return sample is not None and None not in (sample.cpu_seconds, sample.working_set, sample.pids)


def _joined(sample: CgroupSample | None, found: _Figures | None) -> _Figures:
    """What the group says, and for controllers that it has not what /proc says."""
    other = found or _Figures(0.0, 0, 0, 0, CGROUP)
    if sample is None:
        return other
    return _Figures(
        cpu_seconds=other.cpu_seconds if sample.cpu_seconds is None else sample.cpu_seconds,
        working_set=other.working_set if sample.working_set is None else sample.working_set,
        pids=other.pids if sample.pids is None else sample.pids,
        oom_kills=sample.oom_kills or 0,
        mechanism=other.mechanism if found else CGROUP,
    )
