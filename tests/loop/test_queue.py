"""The work queue and its backoff."""

from __future__ import annotations

import random
import threading

from controller.loop.backoff import Backoff
from controller.loop.queue import WorkQueue
from controller.model.clock import SystemClock
from controller.model.identity import sandbox_key
from tests.support.clock import FakeClock

A, B = sandbox_key("default", "a"), sandbox_key("default", "b")


def test_a_key_added_twice_is_worked_on_once() -> None:
    queue = WorkQueue(FakeClock())
    queue.add(A)
    queue.add(A)
    assert queue.get(block=False) == A
    assert queue.get(block=False) is None


def test_a_key_added_while_it_is_worked_on_comes_again_only_when_that_is_done() -> None:
    queue = WorkQueue(FakeClock())
    queue.add(A)
    assert queue.get(block=False) == A
    queue.add(A)
    assert queue.get(block=False) is None
    queue.done(A)
    assert queue.get(block=False) == A


def test_a_delayed_key_comes_when_it_is_due_and_the_earlier_time_wins() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock)
    queue.add_after(A, 10)
    queue.add_after(A, 5)
    queue.add_after(A, 20)
    queue.add_after(B, 7)
    assert queue.get(block=False) is None
    clock.advance(5)
    assert queue.get(block=False) == A
    queue.done(A)
    clock.advance(2)
    assert queue.get(block=False) == B
    queue.done(B)
    clock.advance(60)
    assert queue.get(block=False) is None


def test_a_key_that_was_discarded_is_not_waited_for() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock)
    queue.add_after(A, 10)
    queue.add_after(B, 20)
    queue.discard(A)
    assert queue.next_due() == clock.monotonic() + 20
    clock.advance(10)
    assert queue.get(block=False) is None
    queue.add_after(A, 5)
    assert queue.next_due() == clock.monotonic() + 5


def test_superseded_times_are_not_kept() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock)
    queue.add_after(B, 1.0)
    for seconds in range(10_000, 0, -1):
        queue.add_after(A, 10.0 + seconds)
    assert len(queue._delayed) < 100
    clock.advance(1.0)
    assert queue.get(block=False) == B
    assert queue.next_due() == clock.monotonic() + 10.0


def test_a_waiting_worker_is_woken_by_a_key_and_by_the_end() -> None:
    queue = WorkQueue(SystemClock())
    got: list[object] = []
    worker = threading.Thread(target=lambda: got.extend([queue.get(), queue.get()]))
    worker.start()
    queue.add_after(A, 0.01)
    deadline = threading.Event()
    while not got and not deadline.wait(0.001):
        if queue.idle() is False:
            break
    queue.close()
    worker.join(5)
    assert not worker.is_alive()
    assert got[-1] is None


def test_many_workers_never_have_one_key_at_once_and_lose_none() -> None:
    queue = WorkQueue(SystemClock())
    keys = [sandbox_key("default", f"s{number}") for number in range(20)]
    held: set[object] = set()
    clashes: list[object] = []
    seen: dict[object, int] = {}
    lock = threading.Lock()

    def work() -> None:
        while (key := queue.get()) is not None:
            with lock:
                if key in held:
                    clashes.append(key)
                held.add(key)
                seen[key] = seen.get(key, 0) + 1
            with lock:
                held.discard(key)
            queue.done(key)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for _ in range(200):
        for key in keys:
            queue.add(key)
    settled = threading.Event()
    while not queue.idle():
        settled.wait(0.001)
    queue.close()
    for worker in workers:
        worker.join(5)
    assert clashes == []
    assert set(seen) == set(keys)


def test_backoff_grows_is_capped_never_overflows_and_is_forgotten() -> None:
    backoff = Backoff(random.Random(1))
    delays = [backoff.next_delay(A) for _ in range(2000)]
    assert delays[0] <= 0.5
    assert max(delays) <= 60.0
    assert max(delays[20:]) > 30.0
    backoff.forget(A)
    assert backoff.next_delay(A) <= 0.5


def test_a_lane_that_is_busy_holds_up_no_other_and_a_key_is_in_one_lane_at_a_time() -> None:
    queue = WorkQueue(FakeClock(), lane_of=lambda key: "slow" if key == A else "quick")
    queue.add(A)
    queue.add(B)
    assert queue.get("quick", block=False) == B
    assert queue.get("quick", block=False) is None
    assert queue.get("slow", block=False) == A
    queue.add(A)
    assert queue.get("slow", block=False) is None
