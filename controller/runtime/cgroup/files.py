"""Control files, read and written with the errors that callers want to tell apart."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

GONE: Final = (errno.ENOENT, errno.ENODEV)


def read(folder: str | None, name: str) -> str | None:
    """A control file's text without its last newline; None where the file, or its group, is not there.

    Raises OSError.
    """
    if folder is None:
        return None
    try:
        return Path(folder, name).read_text().strip()
    except OSError as exc:
        if exc.errno in GONE:
            return None
        raise


def write(folder: str, name: str, value: str) -> None:
    """Write a control file in one call. Raises OSError that names the file also where the kernel refuses the value."""
    path = f"{folder}/{name}"
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    except OSError as exc:
        exc.filename = path
        raise
    finally:
        os.close(descriptor)


def exists(folder: str | None, name: str) -> bool:
    """Whether a group has a control file."""
    return folder is not None and Path(folder, name).exists()


def read_pids(folder: str) -> set[int]:
    """The processes of a group and of all groups below it; empty where it is gone.

    Left out is the 0 that v1 shows for a process outside of our pid namespace: to signal it is to signal ourselves.
    """
    found: set[int] = set()
    for below, _, _ in os.walk(folder):
        found.update(int(pid) for pid in (read(below, "cgroup.procs") or "").split())
    return found - {0}
