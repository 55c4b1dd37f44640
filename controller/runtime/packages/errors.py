"""The file system's errors as ours."""

from __future__ import annotations

import errno
from typing import Final

from controller.model.errors import DiskFullError, RuntimeFailure

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def translated(exc: OSError, what: str) -> RuntimeFailure:
    """A file system's error as ours; `what` could not be done."""
    reason = exc.strerror or str(exc)
    if exc.errno in _NO_SPACE:
        return DiskFullError(f"{what}: {reason}; free space on its file system")
    return RuntimeFailure(f"{what}: {reason}")
