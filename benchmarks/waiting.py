"""Waiting for what no event announces to this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_PAUSE: Final = 0.005


class TooSlow(RuntimeError):  # noqa: N818 - what happened
    """A condition was not reached in time: there is no figure to be had."""


def until(reached: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Poll until it is so. Raises TooSlow."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise TooSlow(f"not within {seconds:g} s: {what}")
        time.sleep(_PAUSE)
