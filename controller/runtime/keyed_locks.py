"""A lock for each name, kept no longer than somebody holds it or waits for it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Lock:
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class KeyedLocks:
    """What hangs while it holds one name's holds up no other's."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, _Lock] = {}

    @contextlib.contextmanager
    def held(self, name: str, patience: float = -1) -> Iterator[bool]:
        """Nobody else holds this name meanwhile; False where somebody did for more than so many seconds (-1: waits)."""
        with self._guard:
            mine = self._locks.setdefault(name, _Lock())
            mine.users += 1
        held = False
        try:
            held = mine.lock.acquire(timeout=patience)
            yield held
        finally:
            if held:
                mine.lock.release()
            with self._guard:
                mine.users -= 1
                if not mine.users:
                    del self._locks[name]
