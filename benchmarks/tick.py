"""A tick over unchanged sandboxes: real control groups read, real workspaces walked beside it, no container."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.figure import Baseline, Bound, Figure, p50
from benchmarks.loop import LoopOf, loop_of
from benchmarks.suite import Bench, Benchmark
from benchmarks.waiting import until
from controller.model.clock import SystemClock
from controller.runtime.cgroup.group import CgroupGroup
from controller.runtime.cgroup.hierarchy import CgroupPaths, Hierarchy
from controller.runtime.cgroup.root import CgroupRoot
from controller.runtime.disk import DiskWalker
from controller.runtime.docker.client import EngineClient
from controller.runtime.docker.config import DockerConfig
from controller.runtime.docker.oom import OomKills
from controller.runtime.docker.stats import StatsPoller
from controller.runtime.docker.usage import UsageMeter

SANDBOXES: Final = 500
FILES: Final = 1000
TICKS: Final = 60
PAUSE: Final = 0.2
BOUND_MS: Final = 50.0
ROW: Final = f"tick over {SANDBOXES} unchanged sandboxes"

_FILES_READ: Final = {
    1: {
        "cpuacct": ("cpuacct.usage",),
        "memory": ("memory.usage_in_bytes", "memory.stat", "memory.oom_control"),
        "pids": ("pids.current",),
    },
    2: {"cpu": ("cpu.stat",), "memory": ("memory.current", "memory.stat", "memory.events"), "pids": ("pids.current",)},
}


@dataclass(frozen=True, slots=True)
class _ByHand(Hierarchy):
    """Groups without processes: which one an instance has is looked up here, not under /proc."""

    groups: dict[int, CgroupPaths] = field(default_factory=dict)

    def paths_of(self, pid: int) -> CgroupPaths | None:
        return self.groups.get(pid)


def run(bench: Bench) -> Iterator[Figure]:
    """One row; the baseline is the bare `pread` of the same control files, in turn with the ticks."""
    with bench.folder(SANDBOXES * FILES) as state_dir, _groups_root() as root, loop_of(SANDBOXES, state_dir) as loop:
        groups = _make_groups(loop, root)
        bench.say(f"making {SANDBOXES} workspaces of {FILES} files")
        for seen in loop.runtime.list():
            _make_workspace(Path(loop.workspaces.path(seen.owner.uid)))
        yield _measured(bench, loop, groups)


def _measured(bench: Bench, loop: LoopOf, groups: Mapping[str, CgroupGroup]) -> Figure:
    clock = SystemClock()
    hierarchy = Hierarchy.detect()
    by_pid = {seen.pid: groups[seen.id].paths for seen in loop.runtime.list() if seen.pid is not None}
    walker = DiskWalker(clock)
    client = EngineClient(DockerConfig(instance="benchmark", engine="unix:///nonexistent/docker.sock"))
    groups_by_hand = _ByHand(hierarchy.version, hierarchy.mounts, hierarchy.proc, by_pid)
    meter = UsageMeter(groups_by_hand, walker, StatsPoller(client, clock), clock, OomKills(clock))
    meter.workspace = loop.workspaces.path
    loop.runtime.meter = meter.measure
    descriptors = [fd for group in groups.values() for fd in _opened(group)]
    try:
        loop.loop.tick.run()  # opens the files and begins the walks
        bench.say(f"{TICKS} ticks while the walker walks")
        ticks, reads = [], []
        for _ in range(TICKS):
            time.sleep(PAUSE)  # a tick comes every two seconds: the walker has its turn between them
            reads.append(_timed_reads(descriptors))
            began = time.perf_counter()
            loop.loop.tick.run()
            ticks.append(time.perf_counter() - began)
        until(lambda: _walked(loop), "every workspace is walked", 120)
    finally:
        meter.close()
        walker.close()
        for descriptor in descriptors:
            os.close(descriptor)
    _check(loop)
    kernel = Baseline("the kernel: pread of the same files", p50(reads) * 1000)
    return Figure.of(ROW, "ms", [each * 1000 for each in ticks], kernel, Bound(BOUND_MS))


def _walked(loop: LoopOf) -> bool:
    loop.loop.tick.run()
    return all(entry.usage is not None and entry.usage.disk is not None for entry in loop.world.entries().values())


def _check(loop: LoopOf) -> None:
    """A tick that measured nothing would be fast."""
    for key, entry in loop.world.entries().items():
        if entry.usage is None or entry.usage.mechanism != "cgroup" or not (entry.usage.disk or 0) > FILES * 512:
            raise RuntimeError(f"{key} was not measured: {entry.usage}")


def _opened(group: CgroupGroup) -> list[int]:
    files = _FILES_READ[group.paths.version]
    paths = [f"{group.paths.of(controller)}/{name}" for controller, names in files.items() for name in names]
    return [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in paths if Path(path).exists()]


def _timed_reads(descriptors: list[int]) -> float:
    began = time.perf_counter()
    for descriptor in descriptors:
        os.pread(descriptor, 8192, 0)
    return time.perf_counter() - began


@contextmanager
def _groups_root() -> Iterator[CgroupRoot]:
    root = CgroupRoot(f"benchmark-{os.getpid()}")
    try:
        yield root
    finally:
        for name in root.names():
            root.group(name).remove()
        root.remove()


def _make_groups(loop: LoopOf, root: CgroupRoot) -> dict[str, CgroupGroup]:
    return {seen.id: root.create(seen.id) for seen in loop.runtime.list()}


def _make_workspace(path: Path) -> None:
    """Files of one block each, in folders of a hundred."""
    for number in range(FILES):
        folder = path / f"{number // 100}"
        if not number % 100:
            folder.mkdir(parents=True)
        (folder / f"{number}.txt").write_bytes(b"x" * 64)


BENCHMARK = Benchmark("tick", (ROW,), run, root=True)
