"""Disk usage of the sandboxes, measured by one thread beside the tick."""

from __future__ import annotations

import heapq
import itertools
import os
import threading
from dataclasses import dataclass
from typing import Final

import structlog

from controller.model.clock import Clock
from controller.runtime.portions import BATCH, Below
from controller.runtime.tree import Steps, open_folder, walk

log = structlog.get_logger(__name__)

INTERVAL: Final = 10.0
INTERVAL_FACTOR: Final = 50  # a sandbox's walks take at most a fiftieth of its time
REST_FACTOR: Final = 4  # all walks together take at most a fifth of one core
SLICE: Final = 0.1  # seconds at one tree, so that a huge one does not hold up the others
_BLOCK: Final = 512  # the unit of st_blocks, whatever the file system's own
_MOST_LINKED: Final = 100_000


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """Allocated bytes, as `du` counts them, at a time of the clock's `monotonic`; `seconds` is what the walk took."""

    bytes: int
    at: float
    seconds: float


@dataclass(slots=True, eq=False)
class _Watched:
    """One sandbox: its folders, its last figure, and the walk under way with the time it has taken so far."""

    id: str
    paths: tuple[str, ...]
    usage: DiskUsage | None = None
    count: _Count | None = None
    steps: Steps | None = None
    spent: float = 0.0

    def abandon(self) -> None:
        """Close what a walk under way holds open."""
        if self.steps is not None:
            self.steps.close()
        self.steps = self.count = None


class DiskWalker:
    """Measures each watched sandbox every max(10 s, 50 times its last walk). Callable from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._watched: dict[str, _Watched] = {}
        self._due: list[tuple[float, int, _Watched]] = []
        self._order = itertools.count()
        self._closing = False
        self._thread: threading.Thread | None = None

    def watch(self, id: str, paths: tuple[str, ...]) -> None:
        """Measure the folders of a sandbox together, at once and from then on. Idempotent with the same paths."""
        with self._lock:
            known = self._watched.get(id)
            if self._closing or (known is not None and known.paths == paths):
                return
            self._watched[id] = watched = _Watched(id, paths)
            self._schedule(watched, self._clock.monotonic())
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="disk-walker", daemon=True)
                self._thread.start()
        self._wake.set()

    def usage(self, id: str) -> DiskUsage | None:
        """The last figure; None until the first walk is done. A folder that is not there counts nothing."""
        watched = self._watched.get(id)
        return None if watched is None else watched.usage

    def forget(self, id: str) -> None:
        """Measure it no more. Idempotent."""
        with self._lock:
            self._watched.pop(id, None)

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            self._closing = True
            self._watched.clear()
            thread = self._thread
        self._wake.set()
        if thread is not None:
            thread.join()
        for _, _, watched in self._due:
            watched.abandon()

    def _schedule(self, watched: _Watched, due: float) -> None:
        heapq.heappush(self._due, (due, next(self._order), watched))

    def _run(self) -> None:
        rest_until = 0.0
        while not self._closing:
            self._wake.clear()
            now = self._clock.monotonic()
            if now < rest_until:
                self._clock.wait(self._wake, rest_until - now)
                continue
            watched, delay = self._next(now)
            if watched is None:
                self._clock.wait(self._wake, delay)
                continue
            self._work_on(watched)
            ended = self._clock.monotonic()
            rest_until = ended + REST_FACTOR * (ended - now)

    def _next(self, now: float) -> tuple[_Watched | None, float | None]:
        """The one that is due, else None and the seconds until one will be (None: none is watched)."""
        with self._lock:
            while self._due:
                due, _, watched = self._due[0]
                if self._watched.get(watched.id) is not watched:
                    heapq.heappop(self._due)
                    watched.abandon()
                    continue
                if due > now:
                    return None, due - now
                heapq.heappop(self._due)
                return watched, None
        return None, None

    def _work_on(self, watched: _Watched) -> None:
        """Walk for a slice; what is not done then goes on behind the others that are due."""
        started = self._clock.monotonic()
        done = True
        try:
            done = self._walk_until(watched, started + SLICE)
        except OSError as exc:
            log.warning("disk_walk_failed", id=watched.id, error=str(exc))
            watched.abandon()
        except Exception:  # the others are measured all the same
            log.exception("disk_walk_panicked", id=watched.id)
            watched.abandon()
        now = self._clock.monotonic()
        watched.spent += now - started
        due = now
        if done:
            due += max(INTERVAL, INTERVAL_FACTOR * watched.spent)
            watched.spent = 0.0
        with self._lock:
            self._schedule(watched, due)

    def _walk_until(self, watched: _Watched, end: float) -> bool:
        """True where the walk is done; its figure is in place then."""
        if watched.steps is None or watched.count is None:
            watched.count = _Count()
            watched.steps = _measure(watched.paths, watched.count)
        started = self._clock.monotonic()
        for _ in watched.steps:
            if self._closing or self._watched.get(watched.id) is not watched:
                watched.abandon()
                return True
            if self._clock.monotonic() > end:
                return False
        now = self._clock.monotonic()
        watched.usage = DiskUsage(watched.count.bytes, now, watched.spent + now - started)
        watched.steps = watched.count = None
        return True


class _Count:
    """The visitor that adds up. Hard links count once, which takes remembering those not yet all seen."""

    def __init__(self) -> None:
        self.bytes = 0
        self._links: dict[tuple[int, int], int] = {}

    def enter(self, parent: int, name: str) -> int | None:
        return open_folder(name, parent)

    def visit(self, folder: int, below: Below) -> Steps:
        self.bytes += os.fstat(folder).st_blocks * _BLOCK
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if not count % BATCH:
                    yield
                try:
                    if entry.is_dir(follow_symlinks=False):
                        below.add(entry.name)
                        continue
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue  # it vanished, or the folder lets nobody look
                if status.st_nlink == 1 or self._first_seen(status):
                    self.bytes += status.st_blocks * _BLOCK

    def leave(self, parent: int, name: str) -> None:
        """Nothing is left to do."""

    def _first_seen(self, status: os.stat_result) -> bool:
        """Past so many inodes with links elsewhere, each link counts: that errs against who made them."""
        inode = (status.st_dev, status.st_ino)
        others = self._links.pop(inode, None)
        if others is None and len(self._links) < _MOST_LINKED:
            self._links[inode] = status.st_nlink - 1
        elif others is not None and others > 1:
            self._links[inode] = others - 1
        return others is None


def _measure(paths: tuple[str, ...], count: _Count) -> Steps:
    for path in paths:
        root = open_folder(path)
        if root is None:
            continue
        try:
            yield from walk(root, count)
        finally:
            os.close(root)
