"""Handing a folder full of hostile files to another user."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from enum import Enum, auto
from pathlib import Path
from typing import Final

from controller.runtime.portions import BATCH, Below
from controller.runtime.tree import FOLDER_FLAGS, Steps, open_folder, walk

_HANDLE_FLAGS: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKED: Final = 100_000


def hand_over(path: str, uid: int, gid: int) -> None:
    """Give a folder, and what in it belongs to the folder's present owner, to another; needs root.

    What belongs to anybody else stays theirs, and so does a file with a hard link outside: it may be a file of the
    machine. The folder itself changes last, so that an interrupted call is made good by the next. Raises OSError.
    """
    root = os.open(path, FOLDER_FLAGS)
    try:
        status = os.fstat(root)
        if (status.st_uid, status.st_gid) == (uid, gid):
            return
        links = _Links()
        giver = _Giver(status, (uid, gid), links)
        giver.run(root, _Pass.FIRST)
        for is_known in links.portions():
            if not is_known:
                giver.run(root, _Pass.COUNT_LINKS)
            giver.run(root, _Pass.GIVE_LINKED)
        os.fchown(root, uid, gid)
    finally:
        os.close(root)


class _Pass(Enum):
    """What a walk over the tree does: FIRST gives away all that has one link, and counts the links of the others."""

    FIRST = auto()
    COUNT_LINKS = auto()
    GIVE_LINKED = auto()


class _Links:
    """How many links of each file were found in the tree; of so many files at a time that it can be remembered."""

    def __init__(self) -> None:
        self._found = 0
        self._portion, self._portions = 0, 1
        self._salt = secrets.randbits(64)  # nobody can arrange for all files to be in one portion
        self._missing: dict[int, int] = {}

    def portions(self) -> Iterator[bool]:
        """Go through the files in portions; False where the links of one have yet to be added."""
        if self._found <= _MOST_LINKED:
            if self._found:
                yield True
            return
        self._portions = 1 + 2 * self._found // _MOST_LINKED
        for portion in range(self._portions):
            self._portion = portion
            self._missing.clear()
            yield False

    def add(self, status: os.stat_result) -> None:
        """A link was found."""
        self._found += 1
        inode = status.st_ino
        if hash((self._salt, inode)) % self._portions != self._portion:
            return
        if inode in self._missing or len(self._missing) < _MOST_LINKED:
            self._missing[inode] = self._missing.get(inode, status.st_nlink) - 1

    def are_all_inside(self, status: os.stat_result) -> bool:
        """Whether it is known that every link of a file is in the tree."""
        return self._missing.get(status.st_ino) == 0


class _Giver:
    """The visitor that gives away."""

    def __init__(self, root: os.stat_result, owner: tuple[int, int], links: _Links) -> None:
        self._former = root.st_uid
        self._device = root.st_dev
        self._owner = owner
        self._links = links
        self._pass = _Pass.FIRST

    def run(self, root: int, which: _Pass) -> None:
        """Walk the open folder once."""
        self._pass = which
        for _ in walk(root, self):
            pass

    def enter(self, parent: int, name: str) -> int | None:
        return open_folder(name, parent)

    def visit(self, folder: int, below: Below) -> Steps:
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if not count % BATCH:
                    yield
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder:
                    below.add(entry.name)
                self._give(folder, entry.name, is_folder)

    def leave(self, parent: int, name: str) -> None:
        """Nothing is left to do."""

    def _give(self, folder: int, name: str, is_folder: bool) -> None:
        """By a handle on the inode, so that what was looked at is what changes hands."""
        try:
            handle = os.open(name, _HANDLE_FLAGS, dir_fd=folder)
        except FileNotFoundError:
            return
        try:
            status = os.fstat(handle)
            if status.st_uid == self._former and status.st_dev == self._device and self._may_give(status, is_folder):
                os.chown(Path(f"/proc/self/fd/{handle}"), *self._owner)
        finally:
            os.close(handle)

    def _may_give(self, status: os.stat_result, is_folder: bool) -> bool:
        if is_folder or status.st_nlink == 1:
            return self._pass is _Pass.FIRST
        if self._pass is _Pass.GIVE_LINKED:
            return self._links.are_all_inside(status)
        self._links.add(status)
        return False
