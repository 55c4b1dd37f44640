"""Errors: one line that says what to do, and an exit status that a script can tell apart."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from controller.cli import transport
from controller.cli.main import SECTIONS, cli
from controller.cli.transport import connect_unix
from controller.config import socket_path
from tests.cli.conftest import ROOT, Run
from tests.cli.plane import Plane
from tests.cli.sandboxes import sandbox

VERBS = [verb for verbs in SECTIONS.values() for verb in verbs]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--bogus"], "No such option '--bogus'; see 'sandkeeper --help'"),
        (["gte"], "No such command 'gte'; did you mean 'get'?; see 'sandkeeper --help'"),
        (["get", "--watchh"], "No such option '--watchh'"),
        (["get", "-o", "toml"], "Invalid value for '-o' / '--output'"),
        (["describe"], "Missing argument 'NAME'; see 'sandkeeper describe --help'"),
        (["get", "-A", "web"], "-A goes with neither a NAME nor -n"),
        (["describe", "../etc"], "'..' is no name"),
        (["describe", "Web"], "'Web' is no name"),
        (["describe", "a/web", "-n", "b"], "a/web is not in the namespace b that -n names"),
        (["logs", "web", "--tail", "-1"], "Invalid value for '--tail'"),
        (["top", "-w"], "-w draws on a terminal"),
        (["reconcile", "-n", "a"], "-n needs a NAME"),
    ],
)
def test_usage_errors_exit_64(run: Run, arguments: list[str], text: str) -> None:
    """sysexits.h's EX_USAGE, never mistaken for a fault of a manifest or a change in a plan."""
    result = run(*arguments)
    assert result.exit_code == 64
    assert result.stderr.startswith(f"error: {text}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("verb", [["get"], ["describe", "web"], ["exec", "web", "--", "true"], ["prune"], ["top"]])
def test_without_a_daemon_it_says_how_to_start_one(verb: list[str], tmp_path: Path) -> None:
    """And which folder was tried."""
    result = CliRunner().invoke(cli, [verb[0], "--state-dir", str(tmp_path / "none"), *verb[1:]])
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: no daemon runs on {tmp_path}/none; start one with 'sandkeeper run --state-dir {tmp_path}/none',"
        " or name another folder with --state-dir or SANDKEEPER_STATE_DIR\n"
    )


def test_a_socket_that_a_dead_daemon_left_is_no_daemon(tmp_path: Path) -> None:
    """Nobody listens on it."""
    path = socket_path(tmp_path)
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path)) if len(str(path)) < 108 else os.mknod(path)
    result = CliRunner().invoke(cli, ["get", "--state-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert "no daemon runs on" in result.stderr


@pytest.mark.root
def test_another_users_daemon_is_told_apart_from_none(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its socket may not be opened: the way is to become its user."""

    def connect_as_nobody(path: Path, timeout: float | None) -> socket.socket:
        os.seteuid(65534)
        try:
            return connect_unix(path, timeout)
        finally:
            os.seteuid(0)

    monkeypatch.setattr(transport, "connect_unix", connect_as_nobody)
    result = CliRunner().invoke(cli, ["get", "--state-dir", str(state_dir)])
    assert result.exit_code == 1
    assert "may not be opened by this user; run the command as the daemon's user" in result.stderr


def test_the_state_folder_may_be_as_deep_as_it_likes(run: Run, plane: Plane, state_dir: Path, tmp_path: Path) -> None:
    """A socket's address holds 107 bytes, its path may be longer."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.parent.mkdir()
    deep.symlink_to(state_dir)
    plane.views = [sandbox("web")]
    assert run("get", "--state-dir", str(deep)).exit_code == 0


def test_an_unknown_name_suggests_one(run: Run, plane: Plane) -> None:
    """A typing error, or another namespace."""
    plane.views = [sandbox("web"), sandbox("api", "team-a")]
    assert run("get", "wbe").stderr == "error: there is no sandbox default/wbe; did you mean default/web?\n"
    assert run("describe", "api").stderr == "error: there is no sandbox default/api; did you mean team-a/api?\n"
    plane.views = []
    assert "'sandkeeper get -A' lists all" in run("get", "web").stderr


def test_an_error_has_a_traceback_only_on_request(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """--debug, or a variable."""
    assert run("--debug", "get", "wbe").exception.__class__.__name__ == "UnknownSandboxError"
    monkeypatch.setenv("SANDKEEPER_DEBUG", "1")
    assert run("get", "wbe").exception.__class__.__name__ == "UnknownSandboxError"


def test_a_bug_is_called_one(run: Run, plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line as well, with another exit status than errors have."""
    monkeypatch.setattr("controller.cli.look.Layout.table", lambda *_: 1 / 0)
    plane.views = [sandbox("web")]
    result = run("get")
    assert result.exit_code == 70
    assert result.stderr == (
        "error: this is a bug: ZeroDivisionError: division by zero; SANDKEEPER_DEBUG=1 shows where\n"
    )


def test_a_table_that_nobody_reads_on_ends_quietly(state_dir: Path, plane: Plane) -> None:
    """`sandkeeper get | head -1`, with more than a pipe holds."""
    plane.views = [sandbox(f"web-{number}") for number in range(3000)]
    ended = subprocess.run(
        ["bash", "-c", '"$0" -m controller.cli get | head -1; echo "${PIPESTATUS[0]}"', sys.executable],
        # Unbuffered, Python takes a write that the closed pipe cut short for a whole one.
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    header, status = ended.stdout.splitlines()
    assert (header.split()[0], status, ended.stderr) == ("NAME", "141", "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_whose_first_line_is_in_the_overview(run: Run, verb: str) -> None:
    """The overview is written beside the verbs, so that it need not import them; it must not drift."""
    result = run(verb, "--help")
    assert result.exit_code == 0
    told = next(text for verbs in SECTIONS.values() for name, (_, text) in verbs.items() if name == verb)
    command = cli.get_command(None, verb)  # type: ignore[arg-type]  # the context is not looked at
    assert command is not None
    assert command.get_short_help_str(200) == told


def test_without_a_verb_the_overview_is_shown(run: Run) -> None:
    """In sections, all verbs in it."""
    text = run().stdout
    assert all(f"  {verb}" in text for verb in VERBS)
    assert text == run("--help").stdout
