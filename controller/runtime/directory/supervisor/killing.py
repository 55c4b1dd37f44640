"""Ending what is left of a sandbox or an exec, as far as the supervisor can.

It must not hold up the others: what is not ended in one call is ended by the runtime, which removes and starts nothing
before the last process is gone.
"""

from __future__ import annotations

from controller.runtime.directory.membership import SANDBOX_MARKER, tree_of
from controller.runtime.killing import end_all
from controller.runtime.procfs import EXEC_MARKER, ProcessTable


def kill_group(folder: str) -> None:
    """SIGKILL to every process of a control group."""
    try:
        with open(f"{folder}/cgroup.kill", "w", encoding="ascii") as file:
            file.write("1")
    except OSError:  # v1, or a kernel before 5.14
        end_all(lambda: _pids_in(f"{folder}/cgroup.procs"))


def kill_sandbox(root: int, id: str) -> None:
    """SIGKILL to every process of a sandbox without a control group."""
    end_all(lambda: tree_of(ProcessTable.snapshot(), root, SANDBOX_MARKER, id))


def kill_exec(root: int, token: str) -> None:
    """SIGKILL to the process tree of one exec."""
    end_all(lambda: tree_of(ProcessTable.snapshot(), root, EXEC_MARKER, token))


def _pids_in(procs_file: str) -> list[int]:
    try:
        with open(procs_file, encoding="ascii") as file:
            return [int(line) for line in file if line.strip() != "0"]
    except OSError:
        return []
