"""Ending what is left of a sandbox or an exec, as far as the supervisor can.

It tries a bounded number of times, since it must not hold up the others: what forks faster than that is ended by the
runtime, which removes nothing and starts nothing before the last process is gone.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable

from controller.runtime.directory.membership import EXEC_MARKER, SANDBOX_MARKER, tree_of
from controller.runtime.procfs import ProcessTable

_PASSES = 5


def kill_group(folder: str) -> None:
    """SIGKILL to every process of a control group."""
    try:
        with open(f"{folder}/cgroup.kill", "w", encoding="ascii") as file:
            file.write("1")
    except OSError:  # v1, or a kernel before 5.14
        _repeat(lambda: _pids_in(f"{folder}/cgroup.procs"))


def kill_sandbox(root: int, id: str) -> None:
    """SIGKILL to every process of a sandbox without a control group."""
    _repeat(lambda: tree_of(ProcessTable.snapshot(), root, SANDBOX_MARKER, id))


def kill_exec(root: int, token: str) -> None:
    """SIGKILL to the process tree of one exec."""
    _repeat(lambda: tree_of(ProcessTable.snapshot(), root, EXEC_MARKER, token))


def _repeat(find: Callable[[], Iterable[int]]) -> None:
    done: set[int] = set()
    for _ in range(_PASSES):
        found = set(find()) - done
        if not found:
            return
        done |= found
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _pids_in(procs_file: str) -> list[int]:
    try:
        with open(procs_file, encoding="ascii") as file:
            return [int(line) for line in file if line.strip() != "0"]
    except OSError:
        return []
