"""exec and logs: bytes as they are, exit statuses passed on, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from controller.model.errors import RuntimeFailure
from controller.model.identity import sandbox_key
from controller.runtime.protocol import ExecRequest
from tests.cli.conftest import ROOT, Run, Start
from tests.cli.plane import Plane

WEB = sandbox_key("default", "web")
PATIENCE = 20.0


def test_exec_passes_output_and_exit_status_on(run: Run, plane: Plane) -> None:
    """Each stream to its own, bytes that are no text included."""
    plane.stream.send(b"out\xff\n")
    plane.stream.send(b"err\n", "stderr")
    plane.stream.code = 42
    plane.stream.end()
    result = run("exec", "web", "--", "sh", "-c", "exit 42")
    assert (result.exit_code, result.stdout_bytes, result.stderr_bytes) == (42, b"out\xff\n", b"err\n")
    assert plane.asked == [("exec", WEB, ExecRequest(("sh", "-c", "exit 42")))]


def test_exec_options_may_follow_the_name(run: Run, plane: Plane) -> None:
    """Up to the two dashes; what follows them is the command's."""
    plane.stream.end()
    given = ["web", "-n", "default", "-e", "A=1=2", "--timeout", "1m", "-w", "/workspace/x", "--", "env", "-n"]
    assert run("exec", *given).exit_code == 0
    assert plane.asked == [
        ("exec", WEB, ExecRequest(("env", "-n"), timeout=60.0, env={"A": "1=2"}, working_dir="/workspace/x"))
    ]


def test_exec_feeds_stdin_only_where_it_is_asked_to(run: Run, plane: Plane) -> None:
    """As docker exec and kubectl exec do: a loop that reads stdin itself keeps its lines."""
    plane.stream.end()
    run("exec", "-i", "web", "--", "cat", stdin=b"\x00fed")
    run("exec", "web", "--", "cat", stdin=b"\x00fed")
    assert [asked[2].stdin for asked in plane.asked] == [b"\x00fed", b""]


def test_exec_does_not_wait_for_the_end_of_a_pipe_that_it_was_given(
    state_dir: Path, start: Start, plane: Plane
) -> None:
    """A CI runner, or ssh without -n, holds stdin open for as long as the command runs."""
    plane.stream.end()
    process = start("exec", "web", "--", "true", stdin=subprocess.PIPE)
    assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_standard_stream_may_be_closed(state_dir: Path, plane: Plane, closed: str) -> None:
    """Nothing comes from it, what goes to it is lost, and the exit status is the command's."""
    plane.stream.send(b"out\n")
    plane.stream.code = 3
    plane.stream.end()
    command = ["sh", "-c", f'exec "$0" -m controller.cli exec -i web -- true {closed}', sys.executable]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, input=b"", capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (3, b"")
    assert ended.stdout == (b"" if ">&-" in closed.split() else b"out\n")


def test_exec_refuses_more_stdin_than_the_daemon_takes(run: Run, plane: Plane) -> None:
    """Before it sends any of it."""
    result = run("exec", "-i", "web", "--", "cat", stdin=b"x" * (12 << 20))
    assert result.exit_code == 64
    assert "put it into the workspace" in result.stderr
    assert plane.asked == []


@pytest.mark.parametrize("arguments", [["web"], ["web", "--"], ["-e", "A", "web", "--", "x"]])
def test_exec_that_cannot_be_meant(run: Run, arguments: list[str]) -> None:
    """Exit 64, so that a script tells it from the command's own status."""
    assert run("exec", *arguments).exit_code == 64


def test_exec_tells_why_there_is_no_exit_status(run: Run, plane: Plane) -> None:
    """The sandbox does not run, or ended under it."""
    plane.failure = RuntimeFailure("default/web does not run; resume it first")
    result = run("exec", "web", "--", "true")
    assert (result.exit_code, result.stderr) == (1, "error: default/web does not run; resume it first\n")


def test_interrupting_exec_ends_the_command_inside(state_dir: Path, start: Start, plane: Plane) -> None:
    """Ctrl-C closes the stream, which is what kills it; the exit status is the shell's for it, and nothing is said."""
    process = start("exec", "web", "--", "sleep", "1d")
    plane.stream.send(b"started\n")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stdout, stderr) == (130, "", "")
    assert plane.stream.closed.wait(PATIENCE)


def test_logs_are_raw(run: Run, plane: Plane) -> None:
    """As the sandbox wrote them."""
    plane.stream.send(b"caf\xc3\xa9 \xff\n")
    plane.stream.end()
    assert run("logs", "web", "--tail", "5").stdout_bytes == b"caf\xc3\xa9 \xff\n"
    assert plane.asked == [("logs", WEB, 5, False)]


def test_logs_follow_until_the_end(state_dir: Path, start: Start, plane: Plane) -> None:
    """What is written later is shown at once."""
    process = start("logs", "-f", "web")
    assert process.stdout is not None
    for number in range(3):
        plane.stream.send(f"{number}\n".encode())
        assert process.stdout.readline() == f"{number}\n"
    plane.stream.end()
    assert process.wait(PATIENCE) == 0
    assert plane.asked == [("logs", WEB, None, True)]


def test_a_reader_that_goes_away_ends_it_quietly(state_dir: Path, start: Start, plane: Plane) -> None:
    """`sandkeeper logs -f web | head -1` ends as `cat` would, and the daemon's stream with it."""
    process = start("logs", "-f", "web")
    assert process.stdout is not None
    plane.stream.send(b"first\n")
    assert process.stdout.readline() == "first\n"
    process.stdout.close()
    plane.stream.send(b"second\n")
    assert process.wait(PATIENCE) == 128 + signal.SIGPIPE
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert plane.stream.closed.wait(PATIENCE)


def test_stdin_of_a_process_is_fed_to_its_end(state_dir: Path, start: Start, plane: Plane) -> None:
    """From a real pipe."""
    plane.stream.end()
    process = start("exec", "-i", "web", "--", "cat", stdin=subprocess.PIPE)
    process.communicate("through a pipe", timeout=PATIENCE)
    assert [asked[2].stdin for asked in plane.asked] == [b"through a pipe"]
