"""Errors: one line that says what to do, and an exit status that a script can tell apart."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from controller import __version__
from controller.cli.main import SECTIONS, cli
from controller.config import socket_path
from controller.loop.lock import InstanceLock
from controller.report.sockets import listen_unix
from tests.cli.conftest import ROOT, Run
from tests.cli.plane import Plane
from tests.cli.sandboxes import sandbox
from tests.support.ordinary_user import as_ordinary_user

VERBS = [verb for verbs in SECTIONS.values() for verb in verbs]


@pytest.fixture
def root_state(short_folder: Path) -> Iterator[Path]:
    """The state folder of a daemon that root runs, below a folder that is open to all."""
    short_folder.chmod(0o755)
    lock = InstanceLock(short_folder / "state")
    lock.acquire()
    with listen_unix(socket_path(short_folder / "state")):
        yield short_folder / "state"
    lock.release()


def as_ordinary(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command line of a user without rights to anything here."""
    command = [*as_ordinary_user(), sys.executable, "-m", "controller.cli", *arguments]
    environment = {**os.environ, "HOME": "/nonexistent", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)


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
@pytest.mark.parametrize("mode", [0o711, 0o700], ids=["as the daemon makes it", "as systemd makes it"])
@pytest.mark.parametrize("verb", ["get", "plan", "plan ."])
def test_another_users_daemon_is_told_apart_from_none(verb: str, mode: int, root_state: Path) -> None:
    """Its socket may not be opened: the way is to become its user."""
    root_state.chmod(mode)
    ended = as_ordinary(*verb.split(), "--state-dir", str(root_state))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"error: {socket_path(root_state)} may not be opened by this user;"
        " run the command as the daemon's user (sudo, where it is root)\n"
    )


@pytest.mark.root
def test_version_and_doctor_answer_beside_another_users_daemon(root_state: Path) -> None:
    """The one tells its own version, the other what stands in the way."""
    version = as_ordinary("version", "--state-dir", str(root_state))
    assert (version.returncode, version.stdout, version.stderr) == (0, f"sandkeeper {__version__}\n", "")
    doctor = as_ordinary("doctor", "--state-dir", str(root_state))
    assert f"{root_state} cannot be written by this user" in doctor.stdout
    assert "run the command as the daemon's user" in doctor.stdout


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
