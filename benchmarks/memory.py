"""How much memory the real daemon holds: idle, and with a thousand sandboxes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

import psutil

from benchmarks.drop import remove_all
from benchmarks.figure import Baseline, Bound, Figure
from benchmarks.manifests import directory, fill
from benchmarks.suite import Bench, Benchmark, lack
from tests.e2e.daemon import RunningDaemon

SANDBOXES: Final = 1000
IDLE_MB: Final = 90.0
FULL_MB: Final = 130.0
TICK_SECONDS: Final = 0.5
READINGS: Final = 5
WINDOW_SECONDS: Final = 20.0  # the tick keeps 30 samples of each sandbox: by then it has them all
ALL_READY: Final = 300.0
IDLE: Final = "the daemon's memory, idle"
FULL: Final = f"the daemon's memory at {SANDBOXES:,} sandboxes"
AFTER: Final = "the daemon's memory after all were removed"
READY: Final = f"{SANDBOXES:,} directory sandboxes, saved → all Ready"


def run(bench: Bench) -> Iterator[Figure]:
    """Rows of one daemon's life, with an engine where there is one. Memory is RSS of one process, shared pages in.

    Scrapes, lists of everything and more ticks than are remembered go before each reading.
    """
    host = None if lack(ENGINE) else bench.engine.docker_host
    imports = Baseline("an interpreter with its imports", _imports())
    with RunningDaemon(host, tick=f"{TICK_SECONDS:g}s") as daemon:
        process = psutil.Process(daemon.pid)
        yield Figure(IDLE, "MB", _settled(daemon, process), None, imports, Bound(IDLE_MB))
        bench.say(f"{SANDBOXES} directory sandboxes")
        began = time.perf_counter()
        fill(daemon.manifests, directory("NAME"), SANDBOXES)
        daemon.until(lambda: _ready(daemon) == SANDBOXES, "all are Ready", ALL_READY)
        taken = time.perf_counter() - began
        yield Figure(FULL, "MB", _settled(daemon, process), None, imports, Bound(FULL_MB))
        yield Figure(READY, "s", taken)
        bench.say("removing them")
        remove_all(daemon)
        yield Figure(AFTER, "MB", process.memory_info().rss / 1e6)


def _imports() -> float:
    """RSS of an interpreter that has only imported what the daemon does."""
    script = "import controller.bootstrap, psutil; print(psutil.Process().memory_info().rss)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    return int(done.stdout) / 1e6


def _settled(daemon: RunningDaemon, process: psutil.Process) -> float:
    """RSS after scrapes and ticks: what it has come to hold, not what it began with."""
    for _ in range(READINGS):
        daemon.metrics()
        daemon.sandboxes()
        time.sleep(WINDOW_SECONDS / READINGS)
    return process.memory_info().rss / 1e6


def _ready(daemon: RunningDaemon) -> int:
    time.sleep(0.5)  # a list of a thousand is work for the daemon that is being measured
    return daemon.metrics().count('condition="Ready"} 1')


ENGINE: Final = Benchmark("engine", (), run, engine=True)
BENCHMARK = Benchmark("memory", (IDLE, FULL, READY, AFTER), run, root=True)
