"""A thousand manifests: read cold, and one of them edited; from files on disk to a key in the work queue."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import yaml

from benchmarks.figure import Baseline, Bound, Figure, p50
from benchmarks.manifests import container, fill, save
from benchmarks.suite import Bench, Benchmark
from benchmarks.waiting import TooSlow, until
from controller.loop.intake import Intake
from controller.loop.world import World
from controller.model.clock import SystemClock
from controller.model.identity import Key
from controller.resolve.admission import admit
from controller.resolve.defaults import ResolveSettings
from controller.resolve.resolver import resolve
from controller.source.folder import FolderSource, SourceConfig

MANIFESTS: Final = 1000
ROUNDS: Final = 5
EDITS: Final = 40
COLD_SECONDS: Final = 1.5
EDIT_MS: Final = 30.0
PAUSE: Final = 0.3
COLD: Final = f"{MANIFESTS:,} manifests loaded cold"
EDITED: Final = f"one of {MANIFESTS:,} edited: file closed → key queued"
EDITED_CPU: Final = f"one of {MANIFESTS:,} edited: cpu of the whole process"


def run(bench: Bench) -> Iterator[Figure]:
    """Three rows. An edit is alone in its quiet time, so no coalescing is waited for: nothing is subtracted."""
    with bench.folder() as folder:
        paths = fill(folder, container("NAME"), MANIFESTS)
        cold, parsed = [], []
        bench.say(f"{MANIFESTS} manifests, {ROUNDS} times cold")
        for _ in range(ROUNDS):
            parsed.append(_parse_only(paths))
            began = time.perf_counter()
            with _watching(folder):
                cold.append(time.perf_counter() - began)
        baseline = Baseline("PyYAML's C loader alone", p50(parsed))
        yield Figure.of(COLD, "s", cold, baseline, Bound(COLD_SECONDS))
        bench.say(f"{EDITS} edits")
        edited, cpu, look = _edits(folder, paths)
        kernel = Baseline("the kernel: one stat of every file", p50(look) * 1000)
        yield Figure.of(EDITED, "ms", [each * 1000 for each in edited], kernel, Bound(EDIT_MS))
        yield Figure.of(EDITED_CPU, "ms", [each * 1000 for each in cpu], None, Bound(EDIT_MS))


def _parse_only(paths: list[Path]) -> float:
    began = time.perf_counter()
    for path in paths:
        yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)
    return time.perf_counter() - began


def _edits(folder: Path, paths: list[Path]) -> tuple[list[float], list[float], list[float]]:
    """Seconds from each edit's close to its key's arrival, of cpu for it, and of a bare look at the folder."""
    edited, cpu, look = [], [], []
    with _watching(folder) as woken:
        for number in range(EDITS):
            path = paths[number * 7 % MANIFESTS]
            time.sleep(PAUSE)  # past the 200 ms that make two saves one burst
            began = time.perf_counter()
            for each in paths:
                each.stat()
            look.append(time.perf_counter() - began)
            used = time.process_time()
            began = time.perf_counter()
            save(path, container(path.stem, tier=number + 1))
            key = _next(woken)
            edited.append(time.perf_counter() - began)
            cpu.append(time.process_time() - used)
            if key.name != path.stem:
                raise RuntimeError(f"{path.stem} was edited, {key} was woken")
    return edited, cpu, look


@contextmanager
def _watching(folder: Path) -> Iterator[queue.SimpleQueue[Key]]:
    """Watch the folder as the daemon does; returns once every manifest was resolved, with the keys woken from then."""
    settings, world = ResolveSettings(), World()
    woken: queue.SimpleQueue[Key] = queue.SimpleQueue()
    intake = Intake(world, lambda document: resolve(document, settings), woken.put)
    source = FolderSource(SourceConfig(folder), lambda body, skill: admit(body, settings, skill), {}, SystemClock())
    source.start(intake.receive)
    try:
        until(lambda: woken.qsize() >= MANIFESTS, "every manifest is loaded", 60)
        for _ in range(MANIFESTS):
            woken.get()
        yield woken
    finally:
        source.stop()


def _next(woken: queue.SimpleQueue[Key]) -> Key:
    try:
        return woken.get(timeout=10)
    except queue.Empty as exc:
        raise TooSlow("not within 10 s: the edited manifest's key is woken") from exc


BENCHMARK = Benchmark("loading", (COLD, EDITED, EDITED_CPU), run)
