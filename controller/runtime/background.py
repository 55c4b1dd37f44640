"""Slow preparation beside the workers: begun once for all who want the same, and asked for its end by each of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from controller.model.clock import Clock
from controller.model.errors import ConflictError, PreparingError, RuntimeFailure
from controller.model.identity import Key

log = structlog.get_logger(__name__)

_KEPT_SECONDS: Final = 60.0  # an end that nobody has asked for by then says little of the present


@dataclass(slots=True, eq=False)
class _Job:
    what: str
    work: Callable[[], None]
    keys: set[Key] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _End:
    what: str
    failure: RuntimeFailure | None
    at: float


class Background:
    """Work in threads of its own, at most `limit` at a time. For any thread.

    `on_unwanted` is told of work under way that no key wants any more; it may end it.
    """

    def __init__(self, name: str, limit: int, clock: Clock) -> None:
        self._name = name
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._jobs: dict[str, _Job] = {}
        self._wanted: dict[Key, str] = {}
        self._ends: dict[Key, _End] = {}
        self._threads: set[threading.Thread] = set()
        self._closed = False
        self._wake: Callable[[Key], None] = lambda _: None
        self.on_unwanted: Callable[[str], None] = lambda _: None

    def listen(self, wake: Callable[[Key], None]) -> None:
        """From now on wake each key whose work has ended; also those whose work has ended already."""
        with self._lock:
            self._wake = wake
            ended = tuple(self._ends)
        for key in ended:
            wake(key)

    def demand(self, key: Key, what: str, work: Callable[[], None]) -> None:
        """Return where the work that this key asked for has been done, raise where it failed: each end is told once.

        Raises PreparingError while it is under way, which it is from now on; ConflictError once closed. A key wants
        one thing at a time: what it asked for before is no longer wanted by it.
        """
        with self._lock:
            if self._closed:
                raise ConflictError("the daemon is ending")
            end = self._ends.pop(key, None)
            if end is not None and (end.what != what or self._clock.monotonic() - end.at > _KEPT_SECONDS):
                end = None
            unwanted = self._leave(key, but=what)
            if end is None:
                self._join(key, what, work)
        self._tell_unwanted(unwanted)
        if end is None:
            raise PreparingError(f"{what} is under way")
        if end.failure is not None:
            raise end.failure

    def leave(self, key: Key) -> None:
        """The key wants nothing any more."""
        with self._lock:
            self._ends.pop(key, None)
            unwanted = self._leave(key)
        self._tell_unwanted(unwanted)

    def retain(self, wanted: Callable[[Key], bool]) -> None:
        """Forget what other keys wanted, and ends that nobody asked for in time."""
        now = self._clock.monotonic()
        with self._lock:
            unwanted = [self._leave(key) for key in tuple(self._wanted) if not wanted(key)]
            for key, end in tuple(self._ends.items()):
                if now - end.at > _KEPT_SECONDS or not wanted(key):
                    del self._ends[key]
        for what in unwanted:
            self._tell_unwanted(what)

    def close(self) -> None:
        """Begin nothing more."""
        with self._lock:
            self._closed = True
            self._waiting.clear()

    def join(self, seconds: float) -> None:
        """After `close`: wait for what is under way, for so long at most."""
        deadline = self._clock.monotonic() + seconds
        for thread in tuple(self._threads):
            thread.join(max(0.0, deadline - self._clock.monotonic()))

    def _join(self, key: Key, what: str, work: Callable[[], None]) -> None:
        job = self._jobs.get(what)
        if job is None:
            if len(self._threads) < self._limit:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                thread.start()  # it waits for the lock; where none can be had nothing was begun
                self._threads.add(thread)
            job = self._jobs[what] = _Job(what, work)
            self._waiting.append(job)
        job.keys.add(key)
        self._wanted[key] = what

    def _leave(self, key: Key, but: str = "") -> str:
        """What is under way and wanted by nobody, now that this key does not want it; or ""."""
        what = self._wanted.get(key, "")
        if not what or what == but:
            return ""
        del self._wanted[key]
        job = self._jobs.get(what)
        if job is None:
            return ""
        job.keys.discard(key)
        if job.keys:
            return ""
        if job in self._waiting:
            self._waiting.remove(job)
            del self._jobs[what]
            return ""
        return what

    def _tell_unwanted(self, what: str) -> None:
        if what:
            self.on_unwanted(what)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            self._finish(job, _outcome(job))

    def _next(self) -> _Job | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._threads.discard(threading.current_thread())
            return None

    def _finish(self, job: _Job, failure: RuntimeFailure | None) -> None:
        with self._lock:
            del self._jobs[job.what]
            for key in job.keys:
                self._ends[key] = _End(job.what, failure, self._clock.monotonic())
                del self._wanted[key]
            wake, keys = self._wake, tuple(job.keys)
        for key in keys:
            wake(key)


def _outcome(job: _Job) -> RuntimeFailure | None:
    try:
        job.work()
    except RuntimeFailure as exc:
        return exc
    except Exception as exc:
        log.exception("preparation_panicked", what=job.what)
        return RuntimeFailure(f"{job.what}: {exc}")
    return None
