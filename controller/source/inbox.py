"""Where the watcher leaves word: which files are complete, and that something changed. Nothing here looks at a file."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from controller.model.clock import Clock

QUIET: Final = 0.2
"""Seconds of quiet that end a burst."""
LONGEST_BURST: Final = 2.0
"""Seconds after which a burst is taken although it goes on."""
COMPLETE_AFTER: Final = 0.02
"""Seconds within which a writer that created a file has opened it: a created file not opened by then is complete."""


class Coalescer:
    """The first mark after a quiet time is due at once; those that follow closely are taken together."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._last = float("-inf")
        self._alone = False

    def mark(self, now: float) -> None:
        """Something happened."""
        if self._first is None:
            self._first, self._alone = now, now >= self._last + QUIET
        self._last = now

    def due(self) -> float | None:
        """When what was marked is to be taken."""
        if self._first is None or self._alone:
            return self._first
        return min(self._last + QUIET, self._first + LONGEST_BURST)

    def take(self, now: float) -> bool:
        """Whether it is to be taken now; it then counts as taken."""
        due = self.due()
        if due is None or now < due:
            return False
        self._first = None
        return True


@dataclass(frozen=True, slots=True)
class Batch:
    """What a look has to know: files seen complete, links swapped (`..data`), the root removed meanwhile."""

    complete: frozenset[str] = frozenset()
    links: bool = False
    root_gone: bool = False


class Inbox:
    """Marks left by the watcher's threads for the one thread that looks. Removals do not hold up what was saved."""

    def __init__(self, clock: Clock) -> None:
        self.wake = threading.Event()
        self._clock = clock
        self._lock = threading.Lock()
        self._complete: set[str] = set()
        self._links = False
        self._root_gone = False
        self._created: dict[str, float] = {}
        self._saves = Coalescer()
        self._others = Coalescer()

    def complete(self, file: str) -> None:
        """The file was closed after writing, or moved into place."""
        with self._lock:
            self._created.pop(file, None)
            self._complete.add(file)
            self._saves.mark(self._clock.monotonic())
        self.wake.set()

    def created(self, file: str) -> None:
        """The file appeared: it is being written, or it was linked or moved in from outside and is complete."""
        with self._lock:
            self._created[file] = self._clock.monotonic()
        self.wake.set()

    def opened(self, file: str) -> None:
        """Somebody has it open: a file just created is complete when it is closed."""
        with self._lock:
            self._created.pop(file, None)

    def written(self, file: str) -> None:
        """It was written to or truncated: it is complete when it is closed, even if it was before."""
        with self._lock:
            self._created.pop(file, None)
            self._complete.discard(file)

    def links_swapped(self) -> None:
        """What stands behind symlinks was replaced as a whole."""
        with self._lock:
            self._links = True
            self._saves.mark(self._clock.monotonic())
        self.wake.set()

    def root_gone(self) -> None:
        """The root itself was removed; another may stand there already, even with the same inode."""
        with self._lock:
            self._root_gone = True
        self.changed()

    def changed(self) -> None:
        """Something else happened: a removal, a folder, an attribute."""
        with self._lock:
            self._others.mark(self._clock.monotonic())
        self.wake.set()

    def due(self) -> float | None:
        """When the next look is wanted."""
        with self._lock:
            times = [at + COMPLETE_AFTER for at in self._created.values()]
            times += [due for due in (self._saves.due(), self._others.due()) if due is not None]
            return min(times, default=None)

    def collect(self, now: float) -> Batch | None:
        """What is due, or None."""
        with self._lock:
            for file in [file for file, at in self._created.items() if now >= at + COMPLETE_AFTER]:
                del self._created[file]
                self._complete.add(file)
                self._saves.mark(now)
            others, saves = self._others.take(now), self._saves.take(now)
            if not saves and not others:
                return None
            gone, self._root_gone = self._root_gone, False
            if not saves:
                return Batch(root_gone=gone)
            batch = Batch(frozenset(self._complete), self._links, gone)
            self._complete, self._links = set(), False
            return batch
