"""Which folders a user cannot pass through, by their mode bits."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_CAP_SYS_ADMIN: Final = 21


def closed_ancestor(path: str, uid: int) -> str | None:
    """The topmost folder above a path that this user (in its own group alone) may not pass through; None: it may.

    Access control lists are not looked at. Raises OSError where an ancestor is not there.
    """
    for folder in reversed(Path(path).parents):
        if not _passes(folder.stat(), uid):
            return str(folder)
    return None


def closed_ancestors(paths: Iterable[str], uid: int) -> tuple[str, ...]:
    """The topmost closed folders above any of the paths, each once."""
    return tuple(dict.fromkeys(found for path in paths if (found := closed_ancestor(path, uid)) is not None))


def can_execute(path: str, uid: int) -> bool:
    """Whether this user reaches a program, symlinks followed, and may execute it."""
    real = os.path.realpath(path)
    try:
        if closed_ancestor(path, uid) is not None or closed_ancestor(real, uid) is not None:
            return False
        return _passes(os.stat(real), uid)  # noqa: PTH116 - text throughout
    except OSError:
        return False


def may_mount() -> bool:
    """Whether we can give a process a mount namespace of its own."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)
    return False


def _passes(status: os.stat_result, uid: int) -> bool:
    if status.st_uid == uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == uid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
