"""Many files at once: how many containers a second come up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from benchmarks.containers import BareDocker, EngineEvents
from benchmarks.figure import Baseline, Bound, Figure, p50
from benchmarks.manifests import container, save
from benchmarks.suite import Bench, Benchmark
from tests.e2e.daemon import RunningDaemon

SANDBOXES: Final = 40
ROUNDS: Final = 6
THREADS: Final = (2, 4, 8)
SHARE: Final = 0.9
ROW: Final = f"{SANDBOXES} sandboxes dropped at once"
_WORDS: Final = ", ".join(map(str, THREADS))


def run(bench: Bench) -> Iterator[Figure]:
    """One row: containers a second from the first file until the last runs; the baseline is docker-py's best."""
    host = bench.engine.docker_host
    ours: list[float] = []
    rates: dict[int, list[float]] = {threads: [] for threads in THREADS}
    with (
        bench.folder() as folder,
        RunningDaemon(host, tick="2s") as daemon,
        EngineEvents(host) as events,
    ):
        bare = BareDocker(host, folder / "workspace")
        try:
            for number in range(ROUNDS):
                for threads in THREADS:
                    rates[threads].append(_bare_rate(bare, threads))
                    if threads == THREADS[number % len(THREADS)]:  # nobody always has the same neighbour
                        ours.append(_rate(bare, events, daemon, number))
                bench.say(f"round {number + 1}: ours {ours[-1]:.2f}/s, bare {_rounded(rates)}")
        finally:
            bare.close()
    best, threads = max((p50(found), threads) for threads, found in rates.items())
    yield Figure.of(
        ROW,
        "/s",
        ours,
        Baseline(f"bare docker-py, {threads} thread{'s' * (threads > 1)}, the best of {_WORDS}", best),
        Bound(best * SHARE, f"{SHARE:g} of the baseline", at_least=True),
    )


def _bare_rate(bare: BareDocker, threads: int) -> float:
    began = time.time()
    ids = bare.run_all([f"bare-{number}" for number in range(SANDBOXES)], threads)
    last = max(map(bare.started_at, ids))
    bare.remove(*ids)
    return SANDBOXES / (last - began)


def _rate(bare: BareDocker, events: EngineEvents, daemon: RunningDaemon, number: int) -> float:
    names = [f"r{number}-{each:02}" for each in range(SANDBOXES)]
    began = time.time()
    for name in names:
        save(daemon.manifests / f"{name}.yaml", container(name))
    ids = [events.wait("start", name)[1] for name in names]
    last = max(map(bare.started_at, ids))
    daemon.wait_ready(*names)
    remove_all(daemon)
    return SANDBOXES / (last - began)


def remove_all(daemon: RunningDaemon) -> None:
    """Remove every file; that all go at once has to be confirmed."""
    for path in daemon.manifests.glob("*.yaml"):
        path.unlink()
    daemon.until(lambda: bool(daemon.call("GET", "/api/v1/daemon").get("pruneHash")), "the prune guard blocks", 30)
    daemon.call("POST", "/api/v1/prune", hash=daemon.call("GET", "/api/v1/daemon")["pruneHash"])
    daemon.until(lambda: not daemon.sandboxes(), "all are gone", 120)


def _rounded(rates: dict[int, list[float]]) -> str:
    return ", ".join(f"{found[-1]:.2f}/s on {threads}" for threads, found in rates.items())


BENCHMARK = Benchmark("drop", (ROW,), run, engine=True)
