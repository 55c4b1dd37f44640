"""Unix sockets whose path is longer than a socket's address may be. Standard library only: the supervisor loads it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# sockaddr_un holds 108 bytes with the closing zero: unix(7).
_LONGEST: Final = 107


@contextmanager
def unix_address(path: str | os.PathLike[str]) -> Iterator[str]:
    """What to bind or connect to for a socket file of any path: itself, or its name in a folder held open meanwhile.

    Leaves nothing on the disk. Raises OSError where the folder is not there.
    """
    if len(os.fsencode(path)) <= _LONGEST:
        yield os.fspath(path)
        return
    parent, name = os.path.split(path)
    folder = os.open(parent or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{name}"
    finally:
        os.close(folder)
