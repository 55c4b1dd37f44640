"""Ending processes that would rather not end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Collection

_PASSES = 12


def end_all(find: Callable[[], Collection[int]]) -> frozenset[int]:
    """SIGKILL to all that `find` gives; those that it gave at first, of which none may be left by now.

    Everything is stopped before anything is killed, since what is stopped forks no more. It looks a bounded number of
    times: what forks faster than that, or is more than there are descriptors, takes another call. Each process is
    looked for again once a descriptor holds it, so that no pid can change hands before its signal.
    Raises PermissionError.
    """
    first = frozenset(found := find())
    held: dict[int, int] = {}
    stopped: set[int] = set()
    try:
        for _ in range(_PASSES):
            if not _hold(set(found) - held.keys(), held) and held.keys() <= stopped:
                break
            found = find()
            for pid in held.keys() - set(found):
                os.close(held.pop(pid))
            for pid in held.keys() - stopped:
                _signal(held[pid], signal.SIGSTOP)
            stopped |= held.keys()
        for descriptor in held.values():
            _signal(descriptor, signal.SIGKILL)
    finally:
        for descriptor in held.values():
            os.close(descriptor)
    return first


def _hold(pids: Collection[int], held: dict[int, int]) -> bool:
    """Open as many of them as can be; whether there were any."""
    before = len(held)
    for pid in pids:
        try:
            held[pid] = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        except OSError:  # no more descriptors: those that are held are ended first
            break
    return len(held) > before


def _signal(descriptor: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, number)
