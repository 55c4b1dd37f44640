"""Warnings of a library, told where the program called it."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

_PACKAGE = "controller"


def warn_caller(message: str, category: type[Warning]) -> None:
    """A warning whose place is the first one outside of this package."""
    depth, frame = 1, sys._getframe(0)
    while frame.f_back is not None and _is_ours(frame):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, category, stacklevel=depth)


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == _PACKAGE
