"""On a real terminal: colours and tables that are drawn anew."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.model.conditions import ConditionType
from tests.cli.conftest import ROOT
from tests.cli.plane import Plane
from tests.cli.sandboxes import UID, condition, sandbox, stopped

GREEN, RED = "\x1b[32m", "\x1b[31m"
PATIENCE = 20.0


class Screen:
    """A command line on a pseudo terminal of 120 columns, and what it has written."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._leader, follower = pty.openpty()
        self.text = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "controller.cli", *arguments],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120", **environment},
        )
        os.close(follower)

    def read_until(self, text: str) -> None:
        """Read on until the text has appeared."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.text:
            chunk = self._read()
            assert chunk, self.text
            assert time.monotonic() < deadline, self.text
            self.text += chunk

    def read_all(self) -> str:
        """Read to the end, without colours."""
        while chunk := self._read():
            self.text += chunk
        self.process.wait(PATIENCE)
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.text)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        os.close(self._leader)

    def _read(self) -> str:
        try:
            return os.read(self._leader, 65536).decode(errors="replace")
        except OSError:
            return ""  # EIO: the other side is closed


@contextmanager
def screen(*arguments: str, **environment: str) -> Iterator[Screen]:
    """One, ended afterwards."""
    opened = Screen(*arguments, **environment)
    try:
        yield opened
    finally:
        opened.close()


def test_phases_have_colours(state_dir: Path, plane: Plane) -> None:
    """And the columns are those of a pipe."""
    plane.views = [sandbox("web"), stopped("job")]
    with screen("get") as shown:
        text = shown.read_all()
        assert f"{GREEN}Running" in shown.text
        assert f"{RED}Failed" in shown.text
    assert text.splitlines()[0].split()[:3] == ["NAME", "READY", "STATUS"]


def test_no_color_is_honoured(state_dir: Path, plane: Plane) -> None:
    """https://no-color.org"""
    plane.views = [sandbox("web")]
    with screen("get", NO_COLOR="1") as shown:
        shown.read_all()
        assert GREEN not in shown.text


def test_a_dumb_terminal_gets_plain_text(state_dir: Path, plane: Plane) -> None:
    """No control sequence at all."""
    plane.views = [sandbox("web")]
    with screen("get", TERM="dumb") as shown:
        shown.read_all()
        assert "\x1b" not in shown.text


def test_watching_draws_the_table_anew(state_dir: Path, plane: Plane) -> None:
    """In place, at each change."""
    plane.views = [sandbox("web", conditions=(condition(ConditionType.READY, "False", "Starting"),))]
    with screen("get", "-w") as shown:
        shown.read_until("Starting")
        plane.change(sandbox("web"), sandbox("newcomer"))
        shown.read_until("newcomer")
        assert "\x1b[1A" in shown.text


def test_top_goes_on_on_a_terminal(state_dir: Path, plane: Plane) -> None:
    """As its namesake."""
    plane.views = [sandbox("web")]
    with screen("top", "-w") as shown:
        shown.read_until("34Mi")
        plane.change(sandbox("newcomer"))
        shown.read_until("newcomer")


def test_interrupting_a_watch_leaves_the_terminal_as_it_was(state_dir: Path, plane: Plane) -> None:
    """The cursor is shown again, and the exit status is the shell's for Ctrl-C."""
    plane.views = [sandbox("web")]
    with screen("get", "-w") as shown:
        shown.read_until("web")
        os.kill(shown.process.pid, signal.SIGINT)
        shown.read_all()
        assert shown.process.returncode == 130
        assert shown.text.rindex("\x1b[?25h") > shown.text.rindex("\x1b[?25l")


def test_exec_on_a_terminal_does_not_wait_for_input(state_dir: Path, plane: Plane) -> None:
    """A terminal's end would never come; -i asks for it."""
    plane.stream.send(b"done\n")
    plane.stream.end()
    with screen("exec", "web", "--", "true") as shown:
        assert "done" in shown.read_all()
    assert plane.asked[0][2].stdin == b""


def test_describe_and_doctor_are_drawn(state_dir: Path, plane: Plane) -> None:
    """Whole words, whatever the width."""
    plane.views = [sandbox("web")]
    with screen("describe", "web", COLUMNS="40") as shown:
        assert "overlay2 has no quota here" in shown.read_all()
    with screen("get", "-o", "wide", COLUMNS="40") as shown:
        assert UID in shown.read_all()
    with screen("doctor") as shown:
        assert "python" in shown.read_all()


def test_the_daemon_greets_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    """Where things are, before the log; the exit status of an orderly end is 0."""
    (tmp_path / "manifests").mkdir()
    arguments = ("--manifests", f"{tmp_path}/manifests", "--state-dir", f"{tmp_path}/state", "--listen", "127.0.0.1:0")
    with screen("run", *arguments, DOCKER_HOST="unix:///nonexistent/docker.sock") as shown:
        shown.read_until("serving")
        assert f"state      {tmp_path}/state" in shown.text
        assert "Ctrl-C ends the daemon; sandboxes go on" in shown.text
        os.kill(shown.process.pid, signal.SIGINT)
        shown.read_all()
        assert shown.process.returncode == 0
