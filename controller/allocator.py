"""The C library's allocator, told that one process of many threads lives long."""

from __future__ import annotations

import ctypes
from typing import Final

# malloc.h of the GNU C library
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8

_ARENAS: Final = 2
_MAPPED_FROM: Final = 256 << 10


def give_memory_back() -> None:
    """Have freed memory go back to the system. Call it before the first thread starts.

    By itself the GNU C library gives threads up to eight heaps for each core and keeps ever larger blocks in them
    (mallopt(3)): a daemon that had listed a thousand sandboxes stayed twice as large. Other C libraries have no such
    settings, and nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM)
