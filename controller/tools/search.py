"""Searching the texts of a workspace for a pattern, within bounds of time, bytes and results."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from typing import Any, Final

from controller.model.errors import ToolError
from controller.runtime.portions import BATCH, Below
from controller.runtime.tree import Steps, open_folder, walk
from controller.tools.files import WorkspaceFiles, read_up_to
from controller.tools.matching import LinePattern
from controller.tools.paths import shown
from controller.tools.walk import Place, look, open_file

PASSED_BY: Final = frozenset({".git", ".hg", ".svn", ".venv", "__pycache__", "node_modules"})
_BINARY_LOOK: Final = 8192
_MOST_LINE: Final = 300


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a search ends: lines found, bytes of one file, bytes in all, entries looked at, seconds."""

    results: int = 500
    file_bytes: int = 4 << 20
    all_bytes: int = 256 << 20
    entries: int = 100_000
    seconds: float = 10.0


_BOUNDS: Final = Bounds()


def search(files: WorkspaceFiles, pattern: Any, path: str = ".", bounds: Bounds = _BOUNDS) -> list[str]:
    """`path:line:text` for each line that matches in a file or a folder with all below it, sorted; last, what was left.

    Links are not followed, binary files passed by. What was left out is told in entries that begin with `…`. Raises
    ToolError.
    """
    searcher = _Searcher(LinePattern(pattern), bounds)
    files.at(path, "search", searcher.run)
    return [f"{shown(where)}:{line}:{text}" for where, line, text in sorted(searcher.found)] + searcher.notes()


class _EndError(Exception):
    """A bound of the whole search was reached."""


class _Searcher:
    """The visitor of a walk: it looks into each file of each folder."""

    def __init__(self, pattern: LinePattern, bounds: Bounds) -> None:
        self.found: list[tuple[str, int, str]] = []
        self._pattern = pattern
        self._bounds = bounds
        self._ended = ""
        self._bytes = self._entries = 0
        self._large = self._closed = 0
        self._deadline = time.monotonic() + bounds.seconds
        self._top = ""
        self._prefix = ""

    def run(self, place: Place) -> None:
        """Search a place's file, or all below its folder. Raises OSError, ToolError."""
        try:
            status = look(place)
            if status is not None and not stat.S_ISDIR(status.st_mode):
                self._search(place.folder, place.name, place.path)
                return
            self._descend(place)
        except _EndError as exc:
            self._ended = str(exc)

    def notes(self) -> list[str]:
        """What the results lack."""
        notes = []
        if self._ended:
            notes.append(f"… the search ended early: {self._ended}; search a folder below, or for less")
        if self._large:
            notes.append(f"… {self._large} files over {self._bounds.file_bytes} bytes were not searched")
        if self._closed:
            notes.append(f"… {self._closed} files and folders were not searched: the sandbox's user may not read them")
        return notes

    def _descend(self, place: Place) -> None:
        folder = os.open(
            place.name or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.folder
        )
        try:
            self._top, self._prefix = _path_of(folder), place.path
            for _ in walk(folder, self):
                self._look_at_the_clock()
        finally:
            os.close(folder)

    def enter(self, parent: int, name: str) -> int | None:
        """Open a folder to search."""
        folder = open_folder(name, parent)
        self._closed += folder is None
        return folder

    def visit(self, folder: int, below: Below) -> Steps:
        """Search an open folder's files."""
        path = _path_of(folder)
        within = f"{self._prefix}{path.removeprefix(self._top)}".strip("/")
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if not count % BATCH:
                    yield
                self._count()
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in PASSED_BY:
                        below.add(entry.name)
                elif entry.is_file(follow_symlinks=False):
                    self._search_entry(folder, entry.name, f"{within}/{entry.name}".lstrip("/"))

    def leave(self, parent: int, name: str) -> None:
        """Nothing is left to do."""

    def _search_entry(self, folder: int, name: str, path: str) -> None:
        """One of many: what cannot be opened, or became something else meanwhile, is passed by."""
        try:
            self._search(folder, name, path)
        except PermissionError:
            self._closed += 1
        except (OSError, ToolError):
            return

    def _search(self, folder: int, name: str, path: str) -> None:
        self._look_at_the_clock()
        descriptor = open_file(folder, name)
        try:
            if os.fstat(descriptor).st_size > self._bounds.file_bytes:
                self._large += 1
                return
            data = read_up_to(descriptor, _BINARY_LOOK)
            if b"\0" in data:
                return
            data += read_up_to(descriptor, self._bounds.file_bytes)
        finally:
            os.close(descriptor)
        self._bytes += len(data)
        if self._bytes > self._bounds.all_bytes:
            raise _EndError(f"{self._bounds.all_bytes} bytes were read")
        for number, line in self._pattern.lines(data, self._look_at_the_clock):
            if len(self.found) >= self._bounds.results:
                raise _EndError(f"{self._bounds.results} lines were found")
            self.found.append((path, number, _shortened(line)))

    def _count(self) -> None:
        self._entries += 1
        if self._entries > self._bounds.entries:
            raise _EndError(f"{self._bounds.entries} files and folders were looked at")

    def _look_at_the_clock(self) -> None:
        if time.monotonic() > self._deadline:
            raise _EndError(f"{self._bounds.seconds:g} s have passed")


def _path_of(folder: int) -> str:
    """Where the kernel sees an open folder now: true also of one that was moved while it was walked."""
    try:
        return os.readlink(f"/proc/self/fd/{folder}")  # noqa: PTH115 - text throughout
    except OSError:
        return "…"  # deeper than a path can say


def _shortened(line: bytes) -> str:
    text = line[: 4 * _MOST_LINE].decode("utf-8", "replace")
    if len(text) <= _MOST_LINE and len(line) <= 4 * _MOST_LINE:
        return text
    return f"{text[:_MOST_LINE]}… (a line of {len(line)} bytes)"
