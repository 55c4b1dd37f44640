"""All processes of a sandbox end, and none but those."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from controller.runtime.killing import end_all
from controller.runtime.procfs import ProcessTable
from tests.directory_runtime.house import House, is_running, until


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    made = [subprocess.Popen(["sleep", "100"]) for _ in range(3)]
    yield made
    for process in made:
        process.kill()
        process.wait()


def test_nothing_is_killed_before_all_are_stopped() -> None:
    script = "sleep 100; echo the child ended first > /dev/stderr; sleep 100"
    with subprocess.Popen(["sh", "-c", script], stderr=subprocess.PIPE) as parent:
        until(lambda: len(ProcessTable.snapshot().descendants([parent.pid])) == 2)
        end_all(lambda: ProcessTable.snapshot().descendants([parent.pid]))
        _, said = parent.communicate()
    assert (parent.returncode, said) == (-signal.SIGKILL, b"")


def test_a_pid_that_is_no_members_any_more_gets_no_signal(sleepers: list[subprocess.Popen[bytes]]) -> None:
    """As where it was given to another process between the two looks."""
    first, second, third = (process.pid for process in sleepers)
    looks = iter([{first, second}, {first}])
    assert end_all(lambda: next(looks, {first} if is_running(first) else set())) == {first, second}
    sleepers[0].wait(10)
    assert is_running(second)
    assert is_running(third)
    assert os.waitid(os.P_PID, second, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is None


def test_a_killed_sandboxes_log_tells_of_no_killed_children(any_house: House) -> None:
    id = any_house.make("sh", "-c", "echo ready; sleep 100; echo over")
    until(lambda: "ready" in any_house.log(id))
    any_house.runtime.kill(id)
    assert any_house.log(id) == "ready\n"
