"""The entry point `sandkeeper`: a group of verbs, each imported when it is called, and how errors are told."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from controller.model.errors import SandkeeperError, UsageError
from controller.model.printable import printable

USAGE: Final = 64
_INTERRUPTED: Final = 130
_BROKEN_PIPE: Final = 141
_BUG: Final = 70


# Which module holds a verb (as `<verb>_command`) and what the overview says of it: no module is imported for that.
SECTIONS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "The daemon": {
        "run": ("run", "Watch a folder of manifests and make them real."),
        "validate": ("check", "Check manifests; needs no daemon and no engine."),
        "plan": ("check", "Show what would change and why; changes nothing."),
        "doctor": ("doctor", "Check what this machine offers and say what to do."),
    },
    "Look": {
        "get": ("look", "List sandboxes, or show some."),
        "describe": ("look", "Show all that is known of a sandbox."),
        "explain": ("look", "Say why a sandbox is as it is, and what comes next."),
        "top": ("look", "Show usage beside the limits."),
        "events": ("follow", "List what happened, oldest first."),
        "wait": ("follow", "Wait until sandboxes reach a condition."),
    },
    "Work inside": {
        "exec": ("inside", "Run a command in a sandbox and exit with its status."),
        "logs": ("inside", "Print the output of a sandbox's command, as it was written."),
    },
    "Act": {
        "suspend": ("act", "Suspend sandboxes until they are resumed."),
        "resume": ("act", "End what holds sandboxes: suspended, stopped, paused or deleted."),
        "restart": ("act", "Stop and start sandboxes once."),
        "reconcile": ("act", "Look again now, without waiting for a backoff."),
        "delete": ("act", "Remove sandboxes that no file declares."),
        "restore": ("act", "Bring a deleted sandbox's workspace back from the trash."),
        "prune": ("act", "Show or release removals that are held back."),
    },
    "Prepare": {
        "image": ("image", "Build, list and remove images with packages."),
        "skill": ("skill", "Show what is understood of a skill, or check skills."),
    },
    "Tooling": {
        "schema": ("misc", "Print the JSON Schema of manifests."),
        "version": ("misc", "Print the version, also of the daemon where one answers."),
        "completion": ("misc", "Print the completion script of a shell."),
    },
}


class Failure(click.ClickException):
    """How the command line ends: one line on stderr and an exit status."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it for the class; an instance's is read too

    def show(self, file: Any = None) -> None:
        """Print it."""
        click.echo(f"error: {printable(self.message)}", file=file, err=True)


class Verbs(click.Group):
    """The verbs by name, without importing any but the called one."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return [verb for verbs in SECTIONS.values() for verb in verbs]

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        for verbs in SECTIONS.values():
            if cmd_name in verbs:
                module = importlib.import_module(f"controller.cli.{verbs[cmd_name][0]}")
                found: click.Command = getattr(module, f"{cmd_name}_command")
                return found
        return None

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, verbs in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(verb, text) for verb, (_, text) in verbs.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as exc:
            raise Failure(_usage_text(exc), USAGE) from exc

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            raise click.UsageError(_no_such_verb(args[0], self.list_commands(ctx)), ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> NoReturn:
        """Run a verb; what it returns is the exit status, None is 0."""
        try:
            outcome = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt:
            ctx.exit(_INTERRUPTED)
        except BrokenPipeError:
            # What is still buffered must not be flushed at exit into the closed pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(_BROKEN_PIPE)
        except click.exceptions.Exit:
            raise
        except Exception as exc:
            if ctx.params["debug"]:
                raise
            raise _failure(exc) from exc
        ctx.exit(outcome or 0)


def _failure(exc: Exception) -> Failure:
    if isinstance(exc, click.UsageError):
        return Failure(_usage_text(exc), USAGE)
    if isinstance(exc, click.ClickException):
        return Failure(exc.format_message(), exc.exit_code)
    if isinstance(exc, UsageError):
        return Failure(str(exc), USAGE)
    if isinstance(exc, SandkeeperError | OSError):
        return Failure(str(exc), 1)
    return Failure(f"this is a bug: {type(exc).__name__}: {exc}; SANDKEEPER_DEBUG=1 shows where", _BUG)


def _usage_text(exc: click.UsageError) -> str:
    text = exc.format_message().rstrip(".")
    return f"{text}; see '{exc.ctx.command_path} --help'" if exc.ctx else text


def _no_such_verb(given: str, verbs: list[str]) -> str:
    close = difflib.get_close_matches(given, verbs, n=1)
    return f"No such command '{given}'" + (f"; did you mean '{close[0]}'?" if close else "")


@click.group(
    cls=Verbs,
    name="sandkeeper",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--debug", is_flag=True, envvar="SANDKEEPER_DEBUG", help="Show a traceback with an error.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:  # noqa: ARG001 - read from the context, where errors are told
    """Keep sandboxes as a folder of manifests says, on one machine.

    A NAME is in the namespace 'default' unless -n or NAMESPACE/NAME says otherwise.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _open_closed_streams() -> None:
    """A standard stream that the caller closed (`<&-`) is None to Python, and its number would go to a socket."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - for the process's life


def main() -> NoReturn:
    """Run the command line."""
    _open_closed_streams()
    cli(prog_name="sandkeeper")
    raise AssertionError("click ends the process")
