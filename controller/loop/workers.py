"""Worker threads: take a key, reconcile it, decide by the outcome when it comes again."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from controller.model.clock import Clock
from controller.model.identity import Key
from controller.report.protocol import Recorder

from .backoff import Backoff
from .queue import WorkQueue
from .reconciler import Outcome, Reconciler, Result

log = structlog.get_logger(__name__)


# A stop that waits out its grace costs a thread; beyond so many of them in a lane, a worker.
_MOST_ASIDE: Final = 64


@dataclass(slots=True, eq=False)
class _Lane:
    """`places` are for those who work; `aside` is how many of its threads only wait for something."""

    name: str
    places: threading.Semaphore
    threads: int = 0
    aside: int = 0


class Workers:
    """So many at work at a time in each lane of one queue."""

    def __init__(
        self, queue: WorkQueue, reconciler: Reconciler, backoff: Backoff, recorder: Recorder, clock: Clock
    ) -> None:
        self._queue = queue
        self._reconciler = reconciler
        self._backoff = backoff
        self._recorder = recorder
        self._clock = clock
        self._count = 0
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._here = threading.local()

    def start(self, count: int, lanes: Iterable[str]) -> None:
        """Begin to work, with so many threads for each lane."""
        self._count = count
        for name in lanes:
            lane = _Lane(name, threading.Semaphore(count))
            with self._lock:
                for _ in range(count):
                    self._add_thread(lane)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Where a worker only waits, however long: its lane goes on as if it were not there."""
        lane: _Lane | None = getattr(self._here, "lane", None)
        if lane is None or not self._step_aside(lane):
            yield
            return
        try:
            yield
        finally:
            lane.places.acquire()
            with self._lock:
                lane.aside -= 1

    def join(self, timeout: float) -> bool:
        """After the queue was closed: wait for what is being worked on; True where all of it ended in time."""
        deadline = self._clock.monotonic() + timeout
        for thread in tuple(self._threads):
            thread.join(max(0.0, deadline - self._clock.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def alive(self) -> bool:
        """True while every worker lives."""
        return all(thread.is_alive() for thread in tuple(self._threads))

    def work_once(self) -> bool:
        """Take one ready key, if there is one, and work on it in this thread."""
        key = self._queue.get(block=False)
        if key is None:
            return False
        self._handle(key)
        return True

    def _add_thread(self, lane: _Lane) -> None:
        thread = threading.Thread(target=self._work, args=(lane,), name=f"{lane.name}-{lane.threads}", daemon=True)
        thread.start()
        self._threads.append(thread)
        lane.threads += 1

    def _step_aside(self, lane: _Lane) -> bool:
        with self._lock:
            if lane.aside == _MOST_ASIDE:
                return False
            if lane.threads - lane.aside == self._count:
                self._add_thread(lane)
            lane.aside += 1
        lane.places.release()
        return True

    def _is_one_too_many(self, lane: _Lane) -> bool:
        """Whether this thread was replaced while it stood aside, or another that did has come back."""
        with self._lock:
            if lane.threads - lane.aside <= self._count:
                return False
            lane.threads -= 1
            self._threads.remove(threading.current_thread())
            return True

    def _work(self, lane: _Lane) -> None:
        self._here.lane = lane
        while (key := self._queue.get(lane.name)) is not None:
            with lane.places:
                self._handle(key)
            if self._is_one_too_many(lane):
                return

    def _handle(self, key: Key) -> None:
        began = self._clock.monotonic()
        names = {"sandbox": f"{key.namespace}/{key.name}", "pass_id": secrets.token_hex(4)}
        try:
            with structlog.contextvars.bound_contextvars(**names):
                outcome = self._guarded(key)
                log.debug("pass", result=str(outcome.result), again_in=outcome.requeue_after, error=outcome.error)
            # Still ours: who has it next may know better.
            self._requeue(key, outcome)
        finally:
            self._queue.done(key)
        self._recorder.reconciled(str(outcome.result), self._clock.monotonic() - began)

    def _guarded(self, key: Key) -> Outcome:
        try:
            return self._reconciler.reconcile(key)
        except Exception as exc:
            log.exception("pass_panicked")
            return Outcome(Result.PANIC, error=str(exc))

    def _requeue(self, key: Key, outcome: Outcome) -> None:
        match outcome.result:
            case Result.RETRY | Result.PANIC:
                self._queue.add_after(key, self._backoff.next_delay(key))
                if outcome.requeue_after is not None:
                    self._queue.add_after(key, outcome.requeue_after)
            case Result.REQUEUE if outcome.requeue_after is None:
                self._queue.add_after(key, self._backoff.next_delay(key))
            case Result.PENDING:  # neither a failure nor a success yet
                self._queue.add_after(key, outcome.requeue_after or 0.0)
            case _:
                self._backoff.forget(key)
                if outcome.requeue_after is None:
                    self._queue.discard(key)
                else:
                    self._queue.add_after(key, outcome.requeue_after)
