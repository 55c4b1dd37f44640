"""Workers: so many at work at a time, and none of them taken by what only waits."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Iterator

import pytest

from controller.loop.backoff import Backoff
from controller.loop.queue import WorkQueue
from controller.loop.reconciler import Outcome, Reconciler, Result
from controller.loop.workers import Workers
from controller.model.clock import SystemClock
from controller.model.identity import Key, sandbox_key
from tests.docker_runtime.bench import until
from tests.loop.memory import CountingRecorder

LANE = "docker"


class Passes(Reconciler):
    """Stands for the reconciler: a key named slow… only waits for its gate, any other works until its own opens."""

    def __init__(self) -> None:
        self.begun: queue.Queue[str] = queue.Queue()
        self.ended: queue.Queue[str] = queue.Queue()
        self.gates: dict[str, threading.Event] = {}
        self.workers: Workers | None = None

    def reconcile(self, key: Key) -> Outcome:
        self.begun.put(key.name)
        gate = self.gates.setdefault(key.name, threading.Event())
        if key.name.startswith("slow"):
            assert self.workers is not None
            with self.workers.aside():
                assert gate.wait(10)
        else:
            assert gate.wait(10)
        self.ended.put(key.name)
        return Outcome(Result.SUCCESS)


class Line:
    """Workers of one lane, two at a time."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.passes = Passes()
        self.queue = WorkQueue(clock, lambda _: LANE)
        backoff = Backoff(random.Random(1))
        self.workers = Workers(self.queue, self.passes, backoff, CountingRecorder(), clock)
        self.passes.workers = self.workers
        self.workers.start(2, [LANE])

    def add(self, *names: str) -> None:
        for name in names:
            self.passes.gates.setdefault(name, threading.Event())
            self.queue.add(sandbox_key("default", name))

    def begun(self, count: int) -> set[str]:
        return {self.passes.begun.get(timeout=5) for _ in range(count)}

    def finish(self, *names: str) -> None:
        for name in names:
            self.passes.gates[name].set()

    def ended(self, count: int) -> set[str]:
        return {self.passes.ended.get(timeout=5) for _ in range(count)}

    def close(self) -> None:
        for gate in self.passes.gates.values():
            gate.set()
        self.queue.close()
        assert self.workers.join(10)


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


def test_what_only_waits_takes_no_worker(line: Line) -> None:
    slow = [f"slow{number}" for number in range(6)]
    line.add(*slow)
    assert line.begun(6) == set(slow)
    line.add("a", "b")
    assert line.begun(2) == {"a", "b"}
    line.finish("a", "b")
    assert line.ended(2) == {"a", "b"}
    line.finish(*slow)
    assert line.ended(6) == set(slow)
    assert line.workers.alive()


def test_no_more_work_at_a_time_than_there_are_places_whoever_waited(line: Line) -> None:
    line.add("slow0", "slow1")
    line.begun(2)
    line.add("a", "b", "c")
    two = line.begun(2)
    line.finish("slow0", "slow1")
    assert line.passes.begun.empty()
    assert line.passes.ended.empty()
    line.finish(two.pop())
    assert len(line.ended(1)) == 1
    line.finish("a", "b", "c")
    assert len(line.ended(4)) == 4


def test_there_are_no_more_threads_than_before_once_nobody_waits(line: Line) -> None:
    slow = [f"slow{number}" for number in range(6)]
    line.add(*slow)
    line.begun(6)
    until(lambda: len(line.workers._threads) == 8)
    line.finish(*slow)
    line.ended(6)
    until(lambda: len(line.workers._threads) == 2)
    line.add("a", "b")
    assert line.begun(2) == {"a", "b"}
    line.finish("a", "b")
    assert line.workers.alive()
