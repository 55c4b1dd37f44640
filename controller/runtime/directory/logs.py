"""The output of a main process, read from its log files; followed by the kernel's notifications."""

from __future__ import annotations

import ctypes
import os
import select
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Final

from controller.model.errors import RuntimeFailure
from controller.runtime.directory.wire import MAIN_LOG

_CHUNK: Final = 65536
_IN_MODIFY, _IN_CREATE, _IN_MOVED_TO, _IN_DELETE_SELF, _IN_MOVE_SELF = 0x2, 0x100, 0x80, 0x400, 0x800
_EVENTS: Final = _IN_MODIFY | _IN_CREATE | _IN_MOVED_TO | _IN_DELETE_SELF | _IN_MOVE_SELF
# Where this user's inotify instances are used up, the files are looked at that often instead.
_WITHOUT_NOTIFICATIONS_MS: Final = 500


class DirectoryLog:
    """Implements LogStream."""

    def __init__(self, folder: Path, tail: int | None, follow: bool) -> None:
        self._path = folder / MAIN_LOG
        self._tail = tail
        self._follow = follow
        self._closed = False
        self._wakeup = -1
        try:
            self._wakeup = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError as exc:
            raise RuntimeFailure(f"the log cannot be followed: {exc.strerror}; raise LimitNOFILE") from exc

    def __iter__(self) -> Iterator[bytes]:
        """Chunks, oldest first."""
        changes = _Changes(self._path.parent, self._wakeup) if self._follow else None
        current: FileIO | None = None
        try:
            current = _open(self._path)
            yield from self._past(current)
            while changes is not None and not self._closed:
                if current is None:
                    current = _open(self._path)
                if current is not None:
                    yield from self._chunks(current)
                if current is not None and _was_rotated(current, self._path):
                    yield from self._chunks(current)  # what came between the last read and the rotation
                    current.close()
                    current = None
                elif not self._path.parent.exists():
                    return
                else:
                    changes.wait()
        finally:
            if current is not None:
                current.close()
            if changes is not None:
                changes.close()

    def close(self) -> None:
        """Stop following."""
        self._closed = True
        os.eventfd_write(self._wakeup, 1)

    def __del__(self) -> None:
        if self._wakeup >= 0:
            os.close(self._wakeup)

    def _past(self, current: FileIO | None) -> Iterator[bytes]:
        """What is there by now: the rotated file first, unless it is what was opened as the current one."""
        older = _open(Path(f"{self._path}.1"))
        files = [file for file in (older, current) if file is not None]
        if older is not None and current is not None and _identity(older) == _identity(current):
            files = [current]
        try:
            _skip_to_tail(files, self._tail)
            for file in files:
                yield from self._chunks(file)
        finally:
            if older is not None:
                older.close()

    def _chunks(self, file: FileIO) -> Iterator[bytes]:
        while not self._closed and (chunk := file.read(_CHUNK)):
            yield chunk


class _Changes:
    """Waits until something happened in a folder, or the wake-up descriptor was written."""

    def __init__(self, folder: Path, wakeup: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(wakeup, select.POLLIN)
        watched = self._inotify >= 0 and libc.inotify_add_watch(self._inotify, os.fsencode(folder), _EVENTS) >= 0
        self._timeout = None if watched else _WITHOUT_NOTIFICATIONS_MS
        if watched:
            self._poll.register(self._inotify, select.POLLIN)

    def wait(self) -> None:
        if self._poll.poll(self._timeout) and self._inotify >= 0:
            try:
                os.read(self._inotify, _CHUNK)
            except BlockingIOError:
                return  # only the wake-up

    def close(self) -> None:
        if self._inotify >= 0:
            os.close(self._inotify)


def _open(path: Path) -> FileIO | None:
    try:
        return FileIO(path, "rb")
    except OSError:
        return None


def _identity(file: FileIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino


def _was_rotated(file: FileIO, path: Path) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_dev, status.st_ino) != _identity(file)


def _skip_to_tail(files: list[FileIO], tail: int | None) -> None:
    """Place each file so that what is read from there on are the last `tail` lines of all."""
    if tail is None:
        return
    missing, continues = tail, False
    for file in reversed(files):
        if continues and not _ends_a_line(file):
            missing += 1  # its last line goes on in the newer file, where it was counted
        missing -= _seek_back(file, missing)
        continues = file.tell() == 0 and os.fstat(file.fileno()).st_size > 0


def _ends_a_line(file: FileIO) -> bool:
    size = file.seek(0, os.SEEK_END)
    return size == 0 or os.pread(file.fileno(), 1, size - 1) == b"\n"


def _seek_back(file: FileIO, lines: int) -> int:
    """Go to the beginning of the last lines; how many there were, at most that many. An unended last line counts."""
    end = file.seek(0, os.SEEK_END)
    if lines <= 0:
        return 0
    position, found = end, 0
    while position > 0:
        start = max(0, position - _CHUNK)
        file.seek(start)
        block = file.read(position - start)
        newline = block.rfind(b"\n", 0, end - 1 - start)
        while newline >= 0:
            found += 1
            if found == lines:
                file.seek(start + newline + 1)
                return lines
            newline = block.rfind(b"\n", 0, newline)
        position = start
    file.seek(0)
    return found + 1 if end else 0
