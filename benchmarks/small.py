"""What has no bound and is good to know."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from benchmarks.figure import Baseline, Figure, p50
from benchmarks.loop import LoopOf, loop_of
from benchmarks.suite import Bench, Benchmark

SANDBOXES: Final = 1000
ROUNDS: Final = 15
PASSES: Final = 300
VERSION: Final = "`sandkeeper version`"
PAGE: Final = f"/metrics rendered at {SANDBOXES:,} sandboxes"
PASS: Final = "reconcile pass over an unchanged key"


def run(bench: Bench) -> Iterator[Figure]:
    """Three rows."""
    with bench.folder() as folder:
        environment = {**os.environ, "SANDKEEPER_STATE_DIR": str(folder)}
        version, bare = [], []
        for _ in range(ROUNDS):
            bare.append(_process_ms(["-c", "pass"], environment))
            version.append(_process_ms(["-m", "controller.cli", "version"], environment))
        yield Figure.of(VERSION, "ms", version, Baseline("an empty Python program", p50(bare)))
        with loop_of(SANDBOXES, folder) as loop:
            yield Figure.of(PAGE, "ms", [_ms(lambda: loop.metrics.page(loop.loop.control)) for _ in range(ROUNDS)])
            yield Figure.of(PASS, "ms", [_pass_ms(loop, number) for number in range(PASSES)])


def _process_ms(arguments: list[str], environment: dict[str, str]) -> float:
    command = [sys.executable, *arguments]
    return _ms(lambda: subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL))


def _pass_ms(loop: LoopOf, number: int) -> float:
    loop.loop.queue.add(loop.keys[number])
    return _ms(loop.loop.workers.work_once)


def _ms(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


BENCHMARK = Benchmark("small", (VERSION, PAGE, PASS), run)
