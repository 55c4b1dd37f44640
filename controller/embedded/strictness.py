"""Errors for limits that are too strict: which one, its value, and a value that would have been enough."""

from __future__ import annotations

import math
from typing import Final

from controller.model.spec import Limits
from controller.runtime.cgroup.hits import LimitHits, asked_for
from controller.sandbox.checks import shown_memory

_MIB: Final = 1 << 20
_STEP: Final = 64 * _MIB
_SPARE: Final = 16 * _MIB
_LEAST_PIDS: Final = 32
# runc's words when its own threads find no room.
_NO_FORK: Final = ("resource temporarily unavailable", "child's pid", "pthread_create", "newosproc", "setns process")
_LEAST_MEMORY: Final = 64 * _MIB


def why_killed(before: LimitHits | None, after: LimitHits | None, limits: Limits, since: float) -> str:
    """Which limit was reached between the two, as a sentence; empty where none was. `since` is a time of the machine's
    monotonic clock at `before`.
    """
    if before is None or after is None:
        return ""
    if _grown(before.oom_kills, after.oom_kills) and limits.memory is not None:
        return memory_text(limits.memory, asked_for(after.group, since))
    refused = _grown(before.forks_refused, after.forks_refused)
    if refused and limits.pids is not None:
        return pids_text(limits.pids, refused)
    return ""


def why_not_started(message: str, limits: Limits) -> str:
    """Which limit kept a container from starting at all, as a sentence; empty where none is known to."""
    low = message.lower()
    if limits.memory is not None and ("oom" in low or "memory limit too low" in low or "cannot allocate memory" in low):
        return memory_text(limits.memory, None)
    is_fork = any(words in low for words in _NO_FORK)
    if limits.pids is not None and limits.pids < _LEAST_PIDS and is_fork:
        return pids_text(limits.pids, 0)
    return ""


def memory_text(limit: int, asked: int | None) -> str:
    """`memory` reached its limit; `asked` is what was asked for in bytes, where that is known."""
    enough = max(2 * limit, _LEAST_MEMORY)
    why = ""
    if asked is not None:
        enough = max(enough, _rounded(asked + _SPARE))
        why = f" for the {_rounded(asked, _MIB) // _MIB}m that it had asked for by then"
    return (
        f"killed by the kernel: memory reached its limit of {shown_memory(limit)}; "
        f"resource_limits.memory={shown_memory(enough)!r} would have been enough{why}"
    )


def pids_text(limit: int, refused: int) -> str:
    """`pids` reached its limit; `refused` processes or threads more were asked for."""
    enough = max(2 * limit, limit + refused, _LEAST_PIDS)
    return (
        f"processes and threads reached their limit: pids is {limit}, and {max(refused, 1)} more were asked for; "
        f"resource_limits.pids_limit={enough} would have been enough"
    )


def _grown(before: int | None, after: int | None) -> int:
    return 0 if before is None or after is None else max(0, after - before)


def _rounded(size: int, step: int = _STEP) -> int:
    return math.ceil(size / step) * step
