"""Folders whose contents are hostile: walked by descriptors, so that nothing in them can lead the walk elsewhere.

Links are never followed, other devices never entered, and any depth works with a few open files.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from controller.runtime.portions import BATCH, Below

FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_LEVELS: Final = 32
_MOST_NAMES: Final = 32_768  # of folders to enter that are remembered at the root; half of it at each level below
_FEWEST_NAMES: Final = 512
_PASSES: Final = 5

Steps = Generator[None, None, None]
"""A walk in steps: it yields at least once every BATCH entries, so that a walker can rest or turn to another tree."""


class Visitor(Protocol):
    """What is done in each folder."""

    def enter(self, parent: int, name: str) -> int | None:
        """Open a folder by its name in the open folder `parent`; None to pass it by."""

    def visit(self, folder: int, below: Below) -> Steps:
        """Deal with an open folder's entries, in steps, and add the folders to enter to `below`."""

    def leave(self, parent: int, name: str) -> None:
        """A folder is done, with everything below it."""


@dataclass(slots=True)
class _Frame:
    """One level of a walk. The descriptor of a far ancestor is closed and opened again by way of `..`."""

    name: str
    descriptor: int | None
    identity: tuple[int, int]
    below: Below

    @property
    def opened(self) -> int:
        """The descriptor of a frame that is known to be open."""
        assert self.descriptor is not None
        return self.descriptor

    def close(self) -> None:
        """Close its descriptor, to be opened again or never."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def open_folder(name: str, parent: int | None = None) -> int | None:
    """Open a folder; None where it vanished, is something else, or is not ours to read. Raises OSError."""
    try:
        return os.open(name, FOLDER_FLAGS, dir_fd=parent)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ESTALE):
            return None
        raise


def open_up(name: str, parent: int | None = None) -> None:
    """Make a folder 0700, also where its mode forbids its owner to open it. Passes by what is no folder.

    Raises OSError where it is not ours.
    """
    try:
        handle = os.open(name, os.O_PATH | FOLDER_FLAGS, dir_fd=parent)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return
        raise
    try:
        Path(f"/proc/self/fd/{handle}").chmod(0o700)
    finally:
        os.close(handle)


def walk(root: int, visitor: Visitor) -> Steps:
    """Visit the open folder `root` and all below it on its device; folders are left after everything in them.

    `root` stays open. A folder deep down that is moved meanwhile is given up, and the walk goes on above it.
    Raises OSError.
    """
    frames: list[_Frame] = []
    try:
        frames.append((yield from _visited(os.dup(root), "", 0, visitor)))
        while frames:
            frame = frames[-1]
            name = yield from frame.below.take(frame.opened)
            if name is not None:
                descriptor = _entered(frame, name, visitor)
                if descriptor is not None:
                    frames.append((yield from _visited(descriptor, name, len(frames), visitor)))
                    _close_ancestor(frames)
                continue
            frames.pop()
            try:
                if frames and _reopen(frames, frame):
                    visitor.leave(frames[-1].opened, frame.name)
            finally:
                frame.close()
    finally:
        for frame in frames:
            frame.close()


def _visited(descriptor: int, name: str, depth: int, visitor: Visitor) -> Generator[None, None, _Frame]:
    below = Below(max(_FEWEST_NAMES, _MOST_NAMES >> depth))
    try:
        status = os.fstat(descriptor)
        yield from visitor.visit(descriptor, below)
        below.found_all()
    except BaseException:
        os.close(descriptor)
        raise
    return _Frame(name, descriptor, (status.st_dev, status.st_ino), below)


def _entered(frame: _Frame, name: str, visitor: Visitor) -> int | None:
    descriptor = visitor.enter(frame.opened, name)
    if descriptor is not None and os.fstat(descriptor).st_dev != frame.identity[0]:
        os.close(descriptor)
        return None
    return descriptor


def _close_ancestor(frames: list[_Frame]) -> None:
    """Of a deep nest only the root and the lowest levels stay open."""
    if len(frames) > _OPEN_LEVELS + 1:
        frames[-_OPEN_LEVELS - 1].close()


def _reopen(frames: list[_Frame], child: _Frame) -> bool:
    """Have the lowest frame open again, by `..` of its child; True where it is still the child's parent.

    Where the child was moved out of it, by names from the root, as far down as each is the same folder as before.
    """
    parent = frames[-1]
    if parent.descriptor is None:
        parent.descriptor = _open_same("..", child.opened, parent)
    if parent.descriptor is not None:
        return True
    for depth in range(1, len(frames)):
        above, frame = frames[depth - 1], frames[depth]
        frame.descriptor = _open_same(frame.name, above.opened, frame)
        if frame.descriptor is None:
            del frames[depth:]
            return False
        if depth > 1:
            above.close()
    return True


def _open_same(name: str, folder: int, frame: _Frame) -> int | None:
    """Open what is known from before; None where another folder is there now."""
    descriptor = open_folder(name, folder)
    if descriptor is None:
        return None
    status = os.fstat(descriptor)
    if (status.st_dev, status.st_ino) == frame.identity:
        return descriptor
    os.close(descriptor)
    return None


def erase_tree(path: str) -> None:
    """Delete a folder with all in it, whatever the modes; links are removed, never followed. Idempotent.

    Raises OSError with what could not be deleted; whatever else could be is gone then.
    """
    folder, name = os.path.split(path)
    parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for attempt in range(1, _PASSES + 1):
            fault = _erase_once(parent, name)
            if fault is None:
                return
            # A folder may hand out its entries unreliably while they are deleted: only then is there sense in more.
            if fault.errno != errno.ENOTEMPTY or attempt == _PASSES:
                raise fault
    finally:
        os.close(parent)


def _erase_once(parent: int, name: str) -> OSError | None:
    eraser = _Eraser()
    root = eraser.enter(parent, name)
    if root is None:
        eraser.unlink(parent, name)  # a link or a file, if anything is left
        return eraser.fault
    try:
        for _ in walk(root, eraser):
            pass
    finally:
        os.close(root)
    eraser.leave(parent, name)
    return eraser.fault


class _Eraser:
    """Deletes files on the way down and folders on the way up; remembers the first fault and goes on."""

    def __init__(self) -> None:
        self.fault: OSError | None = None

    def enter(self, parent: int, name: str) -> int | None:
        """Opens folders that their modes close as well, where they are ours; where not, they may yet be empty."""
        if os.geteuid() != 0:
            with suppress(PermissionError):
                open_up(name, parent)
        folder = open_folder(name, parent)
        if folder is None:
            self.leave(parent, name)
        return folder

    def visit(self, folder: int, below: Below) -> Steps:
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if not count % BATCH:
                    yield
                if entry.is_dir(follow_symlinks=False):
                    below.add(entry.name)
                    continue
                self.unlink(folder, entry.name)

    def unlink(self, folder: int, name: str) -> None:
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return
        except OSError as exc:
            self._failed(exc, name)

    def leave(self, parent: int, name: str) -> None:
        try:
            os.rmdir(name, dir_fd=parent)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as exc:
            self._failed(exc, name)

    def _failed(self, exc: OSError, name: str) -> None:
        if self.fault is None:
            exc.filename = name
            self.fault = exc
