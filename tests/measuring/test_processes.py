"""One pass over /proc."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from controller.runtime.procfs import Process, ProcessTable, marker_of
from tests.measuring.machine import line_of, running, wait_until

PR_SET_DUMPABLE = 4


def found(pid: int) -> Process:
    return ProcessTable.snapshot().processes[pid]


def test_this_process_is_seen_as_it_is() -> None:
    me = found(os.getpid())
    assert (me.pid, me.ppid, me.uid, me.zombie) == (os.getpid(), os.getppid(), os.getuid(), False)
    assert me.rss > 1 << 20
    assert 0 < me.start_time < time.monotonic() + 1
    assert me.cpu_seconds == pytest.approx(time.process_time(), abs=0.1)


def test_a_name_made_to_confuse_does_not(tmp_path: Path) -> None:
    sleep = shutil.which("sleep")
    assert sleep is not None
    trap = tmp_path / "a) Z 1 1 (b"
    trap.write_bytes(Path(sleep).read_bytes())
    trap.chmod(0o755)
    with running(str(trap), "60") as process:
        wait_until(lambda: trap.name in Path(f"/proc/{process.pid}/comm").read_text(), "it runs under its name")
        seen = found(process.pid)
        assert (seen.ppid, seen.zombie) == (os.getpid(), False)


def test_threads_are_counted_and_are_no_processes() -> None:
    program = "import threading, time\nfor _ in range(4): threading.Thread(target=time.sleep, args=(60,)).start()\n"
    with running(sys.executable, "-S", "-c", program + "print('ready', flush=True)") as process:
        assert line_of(process) == "ready"
        assert found(process.pid).threads == 5


def test_the_time_of_children_that_ended_stays_with_their_parent() -> None:
    burn = "import time\nwhile time.process_time() < 0.1: pass"
    with running("sh", "-c", f"{sys.executable} -S -c '{burn}'; echo done; exec sleep 60") as process:
        assert line_of(process) == "done"
        assert found(process.pid).reaped_cpu_seconds >= 0.09


def test_descendants_are_found_through_every_generation() -> None:
    script = "sh -c 'setsid sleep 60 >/dev/null & echo $!; wait' & wait"
    with running("sh", "-c", script) as process:
        grandchild = int(line_of(process))
        table = ProcessTable.snapshot()
        members = table.descendants([process.pid])
        assert {process.pid, grandchild} < members
        assert os.getpid() not in members
        assert table.descendants([grandchild]) == {grandchild}
        for pid in members:
            os.kill(pid, 9)


def test_a_process_that_is_gone_has_no_descendants() -> None:
    with running("true") as process:
        pid = process.pid
    assert ProcessTable.snapshot().descendants([pid]) == frozenset()


def test_a_dead_process_that_nobody_reaped_is_a_zombie_without_memory() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    try:
        wait_until(lambda: found(pid).zombie, "it ends")
        assert found(pid).rss == 0
    finally:
        os.waitpid(pid, 0)


def test_kernel_threads_are_left_out() -> None:
    assert 2 not in ProcessTable.snapshot().processes


@pytest.mark.root
def test_a_process_that_hides_behind_root_is_seen_as_who_it_is() -> None:
    """The files of a process that is not dumpable belong to root."""
    said, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setresuid(12345, 12345, 12345)
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        os.write(say, b"!")
        time.sleep(60)
        os._exit(0)
    try:
        os.read(said, 1)
        assert Path(f"/proc/{pid}/stat").stat().st_uid == 0
        assert found(pid).uid == 12345
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(said)
        os.close(say)


def test_the_environment_that_a_process_was_started_with_is_searched() -> None:
    with running("env", "-i", "A=1", "MARKER=abc", "LONG=" + "x" * 65, "sleep", "60") as process:
        wait_until(lambda: marker_of(process.pid, "A") == "1", "it runs")
        assert marker_of(process.pid, "MARKER") == "abc"
        assert marker_of(process.pid, "ARKER") == marker_of(process.pid, "LONG") == ""
    assert marker_of(process.pid, "MARKER") == ""


def test_entries_that_vanish_while_they_are_read_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "17").mkdir()
    (tmp_path / "self").mkdir()
    assert ProcessTable.snapshot(str(tmp_path)).processes == {}
