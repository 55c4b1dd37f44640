"""Folders made and deleted, with the file system's errors as ours."""

from __future__ import annotations

import os
from pathlib import Path

from controller.runtime.directory.record import translated
from controller.runtime.tree import erase_tree


def erase(folder: Path) -> None:
    """Delete a folder that a sandbox could write in. Raises RuntimeFailure."""
    try:
        erase_tree(str(folder))
    except OSError as exc:
        raise translated(exc, f"cannot delete {folder}") from exc


def make_folder(path: Path, mode: int, owner: int | None = None) -> None:
    """Have a folder of that mode, whatever the umask, and of that owner. Raises RuntimeFailure."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(mode)
        if owner is not None:
            os.chown(path, owner, owner, follow_symlinks=False)
    except OSError as exc:
        raise translated(exc, f"cannot make {path}") from exc
