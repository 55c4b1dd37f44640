"""The names of a folder's folders, of which a hostile one may have any number, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Final

BATCH: Final = 512


class Below:
    """What a walk has yet to enter in one folder: all of it, or, past `most`, one portion after another.

    A portion is the names with a certain hash, so that it is the same folders however the others come and go; nobody
    outside this process knows which.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: list[str] = []
        self._found = 0
        self._portions = 0
        self._done = 0

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str) -> None:
        """Another folder was found."""
        self._found += 1
        if self._found <= self._most:
            self._names.append(name)

    def found_all(self) -> None:
        """No other will be added."""
        if self._found > self._most:
            self._names.clear()
            self._portions = 2 * self._found // self._most

    def take(self, folder: int) -> Generator[None, None, str | None]:
        """The name to enter next, looked for in the open folder where need be, in steps; None: no more. Raises
        OSError.
        """
        while not self._names and self._done < self._portions:
            yield from self._look(folder)
            self._done += 1
        return self._names.pop() if self._names else None

    def _look(self, folder: int) -> Generator[None, None, None]:
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if not count % BATCH:
                    yield
                wanted = hash(entry.name) % self._portions == self._done and len(self._names) < self._most
                if wanted and entry.is_dir(follow_symlinks=False):
                    self._names.append(entry.name)
