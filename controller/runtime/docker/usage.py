"""What the tick asks: usage of every running container from its cgroup's files, without a call on the engine."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence

import structlog

from controller.model.clock import Clock
from controller.model.errors import RuntimeFailure
from controller.model.observed import InstanceState, Observed, Usage
from controller.runtime.cgroup.hierarchy import Hierarchy
from controller.runtime.cgroup.reader import CgroupReader, CgroupSample
from controller.runtime.disk import DiskWalker
from controller.runtime.docker.container import Container
from controller.runtime.docker.group import group_of
from controller.runtime.docker.oom import OomKills
from controller.runtime.docker.profile import counted_pids
from controller.runtime.docker.stats import StatsPoller

log = structlog.get_logger(__name__)

_LIVE = (InstanceState.RUNNING, InstanceState.PAUSED)


class UsageMeter:
    """Keeps the cgroup files of every container seen open, and has its disk walked. For any thread.

    `known` gives a container as last inspected, `workspace` the path of a uid's workspace.
    """

    def __init__(
        self,
        hierarchy: Hierarchy,
        disk: DiskWalker,
        stats: StatsPoller,
        clock: Clock,
        ooms: OomKills,
    ) -> None:
        self._hierarchy = hierarchy
        self._disk = disk
        self._stats = stats
        self._clock = clock
        self._ooms = ooms
        self._reader = CgroupReader()
        self._lock = threading.Lock()
        self._pids: dict[str, int] = {}
        self._walked: dict[str, tuple[str, Container | None]] = {}
        self._counted: dict[str, int] = {}
        self.known: Callable[[str], Container | None] = lambda _: None
        self.workspace: Callable[[str], str] = lambda uid: uid

    def measure(self, instances: Sequence[Observed]) -> Mapping[str, Usage]:
        """A measurement of each that runs or is paused, by id. What is not among them is let go."""
        live = [seen for seen in instances if seen.state in _LIVE]
        with self._lock:
            self._let_go({seen.id for seen in live})
            self._stats.want([seen.id for seen in live if not self._attach(seen) and seen.pid is not None])
            return {seen.id: usage for seen in live if (usage := self._usage(seen)) is not None}

    def sample(self, id: str, pid: int) -> CgroupSample | None:
        """One container now, whether it is measured by the tick or not; None where its cgroup is not seen."""
        paths = group_of(self._hierarchy, id, pid)
        if paths is None:
            return None
        reader = CgroupReader()
        try:
            reader.attach(id, paths)
            return reader.sample(id)
        finally:
            reader.close()

    def close(self) -> None:
        """Close every file."""
        self._reader.close()
        self._stats.close()
        for id in self._walked:
            self._disk.forget(id)

    def _let_go(self, live: set[str]) -> None:
        for id in self._pids.keys() - live:
            del self._pids[id]
            self._counted.pop(id, None)
            self._reader.detach(id)
        for id in self._walked.keys() - live:
            del self._walked[id]
            self._disk.forget(id)

    def _attach(self, seen: Observed) -> bool:
        """True where its cgroup is read; a container that was started again has another."""
        self._walk(seen)
        if seen.pid is None:
            return False
        if self._pids.get(seen.id) == seen.pid and self._reader.attached(seen.id):
            return True
        paths = group_of(self._hierarchy, seen.id, seen.pid)
        if paths is None:
            return False
        try:
            self._reader.attach(seen.id, paths)
        except RuntimeFailure as exc:
            log.warning("cgroup_not_read", id=seen.id, error=str(exc))
            return False
        self._pids[seen.id] = seen.pid
        self._counted.pop(seen.id, None)
        return True

    def _walk(self, seen: Observed) -> None:
        container = self.known(seen.id)
        of = (seen.owner.uid, container)
        if self._walked.get(seen.id) == of:
            return
        folders = [self.workspace(seen.owner.uid)]
        if container is not None:
            layers = (container.upper, *container.volumes)
            folders += [layer for layer in layers if layer and os.access(layer, os.R_OK | os.X_OK)]
        self._disk.watch(seen.id, tuple(folders))
        self._walked[seen.id] = of

    def _usage(self, seen: Observed) -> Usage | None:
        at, mechanism = self._clock.now(), "cgroup"
        sample = self._sampled(seen.id)
        if sample is None:
            asked = self._stats.sample(seen.id)
            if asked is None:
                return None
            (at, sample), mechanism = asked, "engine stats"
        disk = self._disk.usage(seen.id)
        container = self.known(seen.id)
        return Usage(
            at=at,
            cpu_seconds=sample.cpu_seconds or 0.0,
            working_set=sample.working_set or 0,
            pids=counted_pids(sample.pids, container is not None and container.gvisor),
            oom_kills=sample.oom_kills or 0,
            disk=None if disk is None else disk.bytes,
            disk_age=None if disk is None else self._clock.monotonic() - disk.at,
            mechanism=mechanism,
        )

    def _sampled(self, id: str) -> CgroupSample | None:
        try:
            sample = self._reader.sample(id)
        except RuntimeFailure as exc:
            log.warning("cgroup_not_read", id=id, error=str(exc))
            return None
        if sample is not None and sample.oom_kills is not None:
            if sample.oom_kills > self._counted.get(id, sample.oom_kills):
                self._ooms.note(id)
            self._counted[id] = sample.oom_kills
        return sample
