"""The work queue: keys, never work. A key is worked on by one worker at a time and never lost while it is.

Ready keys wait in lanes, one for each runtime, and each worker serves one lane: calls that hang on an engine take the
workers of its own lane and nobody else's.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from controller.model.clock import Clock
from controller.model.identity import Key

# A lock's wait overflows at threading.TIMEOUT_MAX, and a manifest may name a time beyond that.
_LONGEST_WAIT: Final = 3600.0
_SUPERSEDED_KEPT: Final = 64


class WorkQueue:
    """Keys to look at, each once however often it is added.

    A key that is added while a worker has it is dirty: it comes again when that worker is done. A key may also be added
    for a later time; an earlier one wins.
    """

    def __init__(self, clock: Clock, lane_of: Callable[[Key], str] = lambda _: "") -> None:
        self._clock = clock
        self._lane_of = lane_of
        self._changed = threading.Condition()
        self._ready: dict[str, deque[Key]] = {}
        self._dirty: set[Key] = set()
        self._processing: set[Key] = set()
        self._delayed: list[tuple[float, Key]] = []
        self._due: dict[Key, float] = {}
        self._closed = False

    def add(self, key: Key) -> None:
        """Have the key looked at as soon as a worker is free."""
        with self._changed:
            self._add(key)

    def add_all(self, keys: Iterable[Key]) -> None:
        """Have all of them looked at."""
        for key in keys:
            self.add(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Have the key looked at in so many seconds, unless it is already due before."""
        with self._changed:
            due = self._clock.monotonic() + max(0.0, seconds)
            if self._due.get(key, float("inf")) <= due:
                return
            self._due[key] = due
            heapq.heappush(self._delayed, (due, key))
            self._compact()
            self._changed.notify_all()

    def discard(self, key: Key) -> None:
        """Have the key looked at at no later time, unless it is added again."""
        with self._changed:
            self._due.pop(key, None)

    def get(self, lane: str | None = None, block: bool = True) -> Key | None:
        """The next key of a lane (None: of any), to be given back with `done`.

        None once closed, or, where not to `block`, if nothing is ready.
        """
        with self._changed:
            while True:
                if self._closed:
                    return None
                pause = self._promote_due()
                if (key := self._take(lane)) is not None:
                    return key
                if not block:
                    return None
                self._changed.wait(_LONGEST_WAIT if pause is None else min(pause, _LONGEST_WAIT))

    def done(self, key: Key) -> None:
        """The worker has finished with the key, however it ended. Belongs in a `finally`."""
        with self._changed:
            self._processing.discard(key)
            if key in self._dirty:
                self._make_ready(key)

    def next_due(self) -> float | None:
        """The monotonic time at which the first delayed key comes due, or None."""
        with self._changed:
            self._drop_superseded()
            return self._delayed[0][0] if self._delayed else None

    def depth(self) -> int:
        """How many keys are ready."""
        with self._changed:
            return sum(map(len, self._ready.values()))

    def idle(self) -> bool:
        """True where nothing is ready or being worked on."""
        with self._changed:
            self._promote_due()
            return not any(self._ready.values()) and not self._processing

    def close(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _add(self, key: Key) -> None:
        if key in self._dirty or self._closed:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._make_ready(key)

    def _make_ready(self, key: Key) -> None:
        self._ready.setdefault(self._lane_of(key), deque()).append(key)
        self._changed.notify_all()

    def _take(self, lane: str | None) -> Key | None:
        lanes = self._ready.values() if lane is None else (self._ready.get(lane, deque()),)
        waiting = next((keys for keys in lanes if keys), None)
        if waiting is None:
            return None
        key = waiting.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def _promote_due(self) -> float | None:
        """Move what is due to the ready keys; the seconds until the next one is, or None."""
        now = self._clock.monotonic()
        self._drop_superseded()
        while self._delayed and self._delayed[0][0] <= now:
            _, key = heapq.heappop(self._delayed)
            del self._due[key]
            self._add(key)
            self._drop_superseded()
        return self._delayed[0][0] - now if self._delayed else None

    def _compact(self) -> None:
        """Entries that an earlier one has superseded lie behind it until they come due, which may be never."""
        if len(self._delayed) > 2 * len(self._due) + _SUPERSEDED_KEPT:
            self._delayed = [(due, key) for key, due in self._due.items()]
            heapq.heapify(self._delayed)

    def _drop_superseded(self) -> None:
        while self._delayed and self._due.get(self._delayed[0][1]) != self._delayed[0][0]:
            heapq.heappop(self._delayed)
