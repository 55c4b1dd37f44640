"""Which events concern a skill."""

from __future__ import annotations

import os
from collections.abc import Iterator

from watchdog import events

from controller.model.skill import is_passed_over

_READING = events.FileOpenedEvent | events.FileClosedNoWriteEvent


class WatchedSkills:
    """The real paths of the skills in use: replaced as a whole by one thread, asked by the watcher's."""

    def __init__(self) -> None:
        self.paths: frozenset[str] = frozenset()

    def has_changed(self, event: events.FileSystemEvent) -> bool:
        """Whether an event tells of a change in one of them; to read one is none."""
        if not self.paths or isinstance(event, _READING):
            return False
        paths = (os.fsdecode(path) for path in (event.src_path, event.dest_path) if path)
        return any(self._concerns(path, event.is_directory) for path in paths)

    def _concerns(self, path: str, is_folder: bool) -> bool:
        for above, below in _splits(path):
            if above in self.paths:
                return not any(is_passed_over(part) for part in below.split("/") if part)
        return is_folder and any(skill.startswith(f"{path}/") for skill in self.paths)


def _splits(path: str) -> Iterator[tuple[str, str]]:
    """A path as each of its ancestors, itself first, and what is below that."""
    end = len(path)
    while end > 0:
        yield path[:end], path[end + 1 :]
        end = path.rfind("/", 0, end)
