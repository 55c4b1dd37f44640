"""Worker threads: take a key, reconcile it, decide by the outcome when it comes again."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable

import structlog

from controller.model.clock import Clock
from controller.model.identity import Key
from controller.report.protocol import Recorder

from .backoff import Backoff
from .queue import WorkQueue
from .reconciler import Outcome, Reconciler, Result

log = structlog.get_logger(__name__)


class Workers:
    """So many threads for each lane of one queue."""

    def __init__(
        self, queue: WorkQueue, reconciler: Reconciler, backoff: Backoff, recorder: Recorder, clock: Clock
    ) -> None:
        self._queue = queue
        self._reconciler = reconciler
        self._backoff = backoff
        self._recorder = recorder
        self._clock = clock
        self._threads: list[threading.Thread] = []

    def start(self, count: int, lanes: Iterable[str]) -> None:
        """Begin to work, with so many threads for each lane."""
        self._threads = [
            threading.Thread(target=self._work, args=(lane,), name=f"{lane}-{number}", daemon=True)
            for lane in lanes
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def join(self, timeout: float) -> bool:
        """After the queue was closed: wait for what is being worked on; True where all of it ended in time."""
        deadline = self._clock.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def alive(self) -> bool:
        """True while every worker lives."""
        return all(thread.is_alive() for thread in self._threads)

    def work_once(self) -> bool:
        """Take one ready key, if there is one, and work on it in this thread."""
        key = self._queue.get(block=False)
        if key is None:
            return False
        self._handle(key)
        return True

    def _work(self, lane: str) -> None:
        while (key := self._queue.get(lane)) is not None:
            self._handle(key)

    def _handle(self, key: Key) -> None:
        began = self._clock.monotonic()
        names = {"sandbox": f"{key.namespace}/{key.name}", "pass_id": secrets.token_hex(4)}
        try:
            with structlog.contextvars.bound_contextvars(**names):
                outcome = self._guarded(key)
        finally:
            self._queue.done(key)
        self._requeue(key, outcome)
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
            case Result.REQUEUE if outcome.requeue_after is None:
                self._queue.add_after(key, self._backoff.next_delay(key))
            case Result.PENDING:  # neither a failure nor a success yet
                self._queue.add_after(key, outcome.requeue_after or 0.0)
            case _:
                self._backoff.forget(key)
                if outcome.requeue_after is not None:
                    self._queue.add_after(key, outcome.requeue_after)
