"""A feed as a stream: what is there at once, what is new as it comes, and a sign of life where nothing is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final, Protocol

KEEP_ALIVE_SECONDS: Final = 10.0

_LOOK_SECONDS: Final = 1.0
_QUIET_SECONDS: Final = 0.1


class Feed(Protocol):
    """What can be read up to a version that only grows."""

    def read(self, since: int) -> tuple[bytes, int]:
        """A line of what is newer than that version, empty where it is nothing, and the version that was reached."""

    def wait(self, version: int, timeout: float) -> int:
        """Block until there is a newer version, or the timeout; the present version."""


class Watch:
    """Lines for one watcher: what is there at once, then what is new; an empty line where nothing is for long."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._closed = threading.Event()

    def close(self) -> None:
        """End it; within a second."""
        self._closed.set()

    def __iter__(self) -> Iterator[bytes]:
        line, version = self._feed.read(0)
        yield line + b"\n"
        silent = 0.0
        while not self._closed.wait(_QUIET_SECONDS):  # a burst of changes is one line
            now, line = self._feed.wait(version, _LOOK_SECONDS), b""
            silent += _LOOK_SECONDS
            if now > version:
                line, version = self._feed.read(version)
            if line or silent >= KEEP_ALIVE_SECONDS:
                silent = 0.0
                yield line + b"\n"
