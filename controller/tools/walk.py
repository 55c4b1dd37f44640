"""From a workspace's folder down to a name in it, one open folder at a time: nothing swapped meanwhile leads out."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from controller.model.errors import ToolError
from controller.tools.paths import below_workspace, shown

_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HANDLE: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS: Final = 40  # as the kernel's own
_MOST_STEPS: Final = 4096
_NEW_FOLDER: Final = 0o755


@dataclass(slots=True)
class Place:
    """A name in an open folder; "" is the folder itself. `path` is from the workspace down, links resolved."""

    folder: int
    name: str
    path: str

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.folder)


def find(root: int, host_root: str, names: Sequence[str], *, make: bool = False) -> Place:
    """Walk from the open folder `root`; links that stay in the workspace are followed, the last name's too.

    The last name need not exist. `make`: folders on the way are made where they are missing. `host_root` is the
    workspace's path on the host. Raises OSError, and ToolError where a link leads out.
    """
    walker = _Walker(root, host_root, make)
    try:
        name = walker.walk(names)
        return Place(walker.take(), name, "/".join([*walker.done, *filter(None, [name])]))
    finally:
        walker.close()


class _Walker:
    """The folder it has reached, and the names that led there: `..` of a link goes back to the root, down by those."""

    def __init__(self, root: int, host_root: str, make: bool) -> None:
        self._root = root
        self._host_root = host_root
        self._make = make
        self._steps = self._links = 0
        self.done: list[str] = []
        self._folder = os.dup(root)

    def take(self) -> int:
        """The folder, to be closed by the caller."""
        folder, self._folder = self._folder, -1
        return folder

    def close(self) -> None:
        if self._folder >= 0:
            os.close(self.take())

    def walk(self, names: Sequence[str]) -> str:
        """Go as far as the folder of the last name, and return that."""
        ahead = list(reversed(names))
        while ahead:
            self._count(ahead)
            name = ahead.pop()
            if name == "..":
                ahead = self._from_the_root(ahead)
                continue
            target = self._link(name)
            if target is not None:
                ahead = self._along(target, ahead)
            elif ahead:
                self._enter(name)
            else:
                return name
        return ""

    def _count(self, ahead: Sequence[str]) -> None:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise ToolError(f"{shown('/'.join(reversed(ahead)))}: too many folders on the way; use a shorter path")

    def _link(self, name: str) -> str | None:
        """Where the name leads if it is a link."""
        try:
            return os.readlink(name, dir_fd=self._folder)
        except OSError as exc:
            if exc.errno in (errno.EINVAL, errno.ENOENT):
                return None
            raise

    def _along(self, target: str, ahead: list[str]) -> list[str]:
        self._links += 1
        if self._links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        below = below_workspace(target, self._host_root)
        if below is None:
            raise ToolError(f"a link on the way leads out of the workspace, to {shown(target)}: copy what is there")
        names = [name for name in below.split("/") if name not in ("", ".")]
        if target.startswith("/"):
            self._back()
        return [*ahead, *reversed(names)]

    def _from_the_root(self, ahead: list[str]) -> list[str]:
        if not self.done:
            raise ToolError("a link on the way leads out of the workspace, by its `..`: copy what is there")
        above = self.done[:-1]
        self._back()
        return [*ahead, *reversed(above)]

    def _back(self) -> None:
        self._move(os.dup(self._root))
        self.done = []

    def _enter(self, name: str) -> None:
        try:
            self._move(os.open(name, _FOLDER, dir_fd=self._folder))
        except FileNotFoundError:
            if not self._make:
                raise
            with suppress(FileExistsError):
                os.mkdir(name, _NEW_FOLDER, dir_fd=self._folder)
            self._move(os.open(name, _FOLDER, dir_fd=self._folder))
        self.done.append(name)

    def _move(self, folder: int) -> None:
        os.close(self._folder)
        self._folder = folder


def look(place: Place) -> os.stat_result | None:
    """What is at a place, no link followed; None: nothing. Raises OSError."""
    try:
        return os.stat(place.name or ".", dir_fd=place.folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def open_file(folder: int, name: str) -> int:
    """Open a regular file of an open folder to read. A link, a FIFO, a device or a socket is never opened, however
    fast it takes a file's place.

    Raises ToolError on any of those, OSError: EAGAIN where somebody holds a lease on it.
    """
    handle = os.open(name or ".", _HANDLE, dir_fd=folder)
    try:
        refuse_special(os.fstat(handle).st_mode)
        # The handle is the very file that was looked at, where its name may be another's by now.
        return os.open(Path(f"/proc/self/fd/{handle}"), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    finally:
        os.close(handle)


def refuse_special(mode: int) -> None:
    """Raises ToolError on what is no regular file."""
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise ToolError("it is a folder: name a file in it, or list it")
    if stat.S_ISLNK(mode):
        raise ToolError("it became a link while it was looked at: try again")
    raise ToolError("it is a FIFO, a socket or a device, and not a regular file: use run_command for it")
