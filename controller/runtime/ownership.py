"""Handing a folder full of hostile files to another user."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Final

from controller.runtime.tree import BATCH, FOLDER_FLAGS, open_folder, walk

_HANDLE_FLAGS: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


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
        links = _LinkCount()
        _run(root, _Giver(status, (uid, gid), links, None))
        whole = links.whole()
        if whole:
            _run(root, _Giver(status, (uid, gid), links, whole))
        os.fchown(root, uid, gid)
    finally:
        os.close(root)


class _LinkCount:
    """How many of each file's links were found in the tree."""

    def __init__(self) -> None:
        self._found: dict[int, int] = {}
        self._all: dict[int, int] = {}

    def add(self, status: os.stat_result) -> None:
        self._found[status.st_ino] = self._found.get(status.st_ino, 0) + 1
        self._all[status.st_ino] = status.st_nlink

    def whole(self) -> frozenset[int]:
        """The inodes all of whose links are in the tree."""
        return frozenset(inode for inode, found in self._found.items() if found == self._all[inode])


class _Giver:
    """First pass (`whole` None): everything with one link. Second: the linked files that are whole."""

    def __init__(
        self, root: os.stat_result, owner: tuple[int, int], links: _LinkCount, whole: frozenset[int] | None
    ) -> None:
        self._former = root.st_uid
        self._device = root.st_dev
        self._owner = owner
        self._links = links
        self._whole = whole

    def enter(self, parent: int, name: str) -> int | None:
        return open_folder(name, parent)

    def visit(self, folder: int) -> Generator[None, None, list[str]]:
        below = []
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if not count % BATCH:
                    yield
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder:
                    below.append(entry.name)
                self._give(folder, entry.name, is_folder)
        return below

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
            return self._whole is None
        if self._whole is None:
            self._links.add(status)
            return False
        return status.st_ino in self._whole


def _run(root: int, giver: _Giver) -> None:
    for _ in walk(root, giver):
        pass
