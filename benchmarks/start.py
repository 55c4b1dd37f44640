"""One file at a time: saved until its container runs, and removed until it is gone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.containers import BareDocker, EngineEvents, timed
from benchmarks.figure import Baseline, Bound, Figure, p50
from benchmarks.manifests import container
from benchmarks.suite import Bench, Benchmark
from tests.e2e.daemon import RunningDaemon

ROUNDS: Final = 15
ADDED_MS: Final = 40.0
GONE_SECONDS: Final = 0.5
START: Final = "file saved → container running, one at a time"
GONE: Final = "file removed → container gone"


@dataclass(frozen=True, slots=True)
class _Samples:
    """Seconds; `bare` and `bare_gone` are docker-py's."""

    bare: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    bare_gone: list[float] = field(default_factory=list)
    gone: list[float] = field(default_factory=list)


def run(bench: Bench) -> Iterator[Figure]:
    """Two rows: rounds of the bare container and ours, in turn. The first round warms up and does not count."""
    host = bench.engine.docker_host
    samples = _Samples()
    with (
        bench.folder() as folder,
        RunningDaemon(host, tick="2s") as daemon,
        EngineEvents(host) as events,
    ):
        bare = BareDocker(host, folder / "workspace")
        try:
            _round(bare, events, daemon, "warm-up", _Samples())
            bench.say(f"{ROUNDS} rounds, bare and ours in turn")
            for number in range(ROUNDS):
                _round(bare, events, daemon, f"s{number:02}", samples)
        finally:
            bare.close()
    baseline = p50(samples.bare) * 1000
    yield Figure.of(
        START,
        "ms",
        [each * 1000 for each in samples.ours],
        Baseline("bare docker-py create+start", baseline),
        Bound(baseline + ADDED_MS, f"baseline + {ADDED_MS:.0f} ms"),
    )
    gone = Baseline("bare docker-py stop+remove", p50(samples.bare_gone))
    yield Figure.of(GONE, "s", samples.gone, gone, Bound(GONE_SECONDS))


def _round(bare: BareDocker, events: EngineEvents, daemon: RunningDaemon, name: str, samples: _Samples) -> None:
    began = time.time()
    id = bare.run(f"bare-{name}")
    samples.bare.append(bare.started_at(id) - began)
    path = daemon.manifests / f"{name}.yaml"
    saved = _save(path, container(name))
    _, ours = events.wait("start", name)
    samples.ours.append(bare.started_at(ours) - saved)
    bare.check_equal(ours, id)
    samples.bare_gone.append(timed(bare.stop_and_remove, id))
    daemon.wait_ready(name)
    removed = time.time()
    path.unlink()
    at, _ = events.wait("destroy", name)
    samples.gone.append(at - removed)
    daemon.wait_gone(name)


def _save(path: Path, text: str) -> float:
    """Write the file in place; the moment before it is closed, in epoch seconds."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        return time.time()


BENCHMARK = Benchmark("start", (START, GONE), run, engine=True)
