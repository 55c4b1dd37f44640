"""What the tests of measuring share: processes held back until they are in a group, and waiting with a deadline."""

from __future__ import annotations

import gc
import os
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.runtime.cgroup.group import CgroupGroup
from controller.runtime.cgroup.hierarchy import UNIFIED, CgroupMount, Hierarchy

DEADLINE = 15.0
NOBODY = 65534


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Ask every millisecond until the condition holds; fails past the deadline."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.001)


@contextmanager
def running(*command: str, group: CgroupGroup | None = None) -> Iterator[subprocess.Popen[str]]:
    """A command that begins once it is in the group. It is killed and reaped at the end, unless it has ended."""
    held = ["/bin/sh", "-c", 'read go; exec "$@"', "sh", *command]
    process = subprocess.Popen(
        held,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    try:
        if group is not None:
            put_in(group, process.pid)
        process.stdin.write("go\n")
        process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.stdin.close()
        assert process.stdout is not None
        process.stdout.close()
        process.wait()


def put_in(group: CgroupGroup, pid: int) -> None:
    """Move a process into a group from outside."""
    for folder in group.paths.folders():
        Path(folder, "cgroup.procs").write_text(str(pid))


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a process says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def open_files() -> int:
    """How many descriptors this process has; what earlier tests left to be collected is not counted."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def as_user(uid: int, check: Callable[[], bool]) -> bool:
    """What the check says in a process of another user; False also where it raises."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os._exit(0 if check() else 1)
        except BaseException:  # noqa: BLE001 - nothing may return into a second copy of the test run
            traceback.print_exc()
            os._exit(2)
    return os.waitpid(pid, 0)[1] == 0


def v2_mount() -> CgroupMount | None:
    """The machine's own v2 mount, with or without controllers."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.startswith("cgroup2 "):
            return CgroupMount("/", fields.split(" ")[4])
    return None


def v2_hierarchy() -> Hierarchy | None:
    """The machine's v2 mount alone, as on a machine without v1."""
    mount = v2_mount()
    return None if mount is None else Hierarchy(2, {UNIFIED: (mount,)})
