"""Files that outlive a crash: replaced whole, or set aside when they are damaged."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def replace_file(path: Path, content: bytes) -> None:
    """Put the content at `path` so that a reader, or a power cut, finds the old whole or the new whole; mode 0600.

    Raises OSError; the old content is then still there.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        with _open_private(fresh) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def set_aside(path: Path, now: float, companions: tuple[str, ...] = ()) -> Path:
    """Rename a damaged file to `<name>.damaged-<time>`, and with it those beside it that have these suffixes.

    `now` is epoch seconds. Returns the new path. Raises OSError.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    aside, count = path.with_name(f"{path.name}.damaged-{stamp}"), 1
    while aside.exists():
        aside, count = path.with_name(f"{path.name}.damaged-{stamp}-{count}"), count + 1
    for suffix in companions:  # first: a write-ahead log left behind would be replayed into the next database
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(aside.with_name(aside.name + suffix))
    path.replace(aside)
    return aside


def _open_private(path: Path) -> BinaryIO:
    return open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
