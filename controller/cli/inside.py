"""Verbs that work inside a sandbox: exec, logs."""

from __future__ import annotations

import base64
import contextlib
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO, Final

import click

from controller.cli.client import Daemon
from controller.cli.item import Target
from controller.cli.options import duration, pass_daemon, pass_target
from controller.model.errors import DaemonUnreachableError, RuntimeFailure, UsageError

# As base64 it stays below the 16 MiB that the daemon takes for one request.
_LARGEST_STDIN: Final = 11 << 20


@click.command()
@pass_daemon
@pass_target
@click.argument("command", metavar="-- CMD...", nargs=-1, required=True)
@click.option("-i", "--stdin", is_flag=True, help="Feed it stdin, read to its end first.  [default: nothing]")
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="A variable of its environment; repeatable.")
@click.option("-w", "--workdir", default="", metavar="DIR", help="Where it runs.  [default: the sandbox's own]")
@click.option("--timeout", type=duration, metavar="DURATION", help="Kill it after this; the exit status is then 124.")
def exec_command(daemon: Daemon, target: Target, command: Sequence[str], **options: Any) -> int:
    """Run a command in a sandbox and exit with its status.

    What follows '--' is the command, its own options included.
    """
    request = {
        "command": list(command),
        "stdin": base64.b64encode(_stdin() if options["stdin"] else b"").decode(),
        "timeout": options["timeout"],
        "env": dict(_assignment(text) for text in options["env"]),
        "workingDir": options["workdir"],
    }
    streams = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    # Closing the frames ends the command: by Ctrl-C, or where nobody reads its output any more.
    with contextlib.closing(daemon.exec(target, request)) as frames:
        for frame in frames:
            if "error" in frame:
                raise RuntimeFailure(str(frame["error"]))
            if "exitCode" in frame:
                return int(frame["exitCode"])
            _write(streams[frame["stream"]], base64.b64decode(frame["data"]))
    raise DaemonUnreachableError("the daemon broke off the command before its end; see its log")


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what is still to come.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.  [default: all]")
@pass_daemon
@pass_target
def logs_command(daemon: Daemon, target: Target, follow: bool, tail: int | None) -> None:
    """Print the output of a sandbox's command, as it was written."""
    with contextlib.closing(daemon.logs(target, tail, follow)) as chunks:
        for chunk in chunks:
            _write(sys.stdout.buffer, chunk)


def _write(stream: BinaryIO, data: bytes) -> None:
    stream.write(data)
    stream.flush()


def _stdin() -> bytes:
    data = sys.stdin.buffer.read(_LARGEST_STDIN + 1)
    if len(data) > _LARGEST_STDIN:
        raise UsageError("stdin is larger than 11 MiB; put it into the workspace (see 'sandkeeper describe') instead")
    return data


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.UsageError(f"--env {text}: write NAME=VALUE")
    return name, value
