"""Tooling: schema, version, completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from controller import __version__
from controller.cli.client import Daemon
from controller.cli.options import json_option, pass_daemon
from controller.cli.output import show_json
from controller.model.errors import SandkeeperError, UsageError


@click.group()
def schema_command() -> None:
    """Print the JSON Schema of manifests."""


@schema_command.command("print")
@click.argument("kind", default="Sandbox")
def schema_print(kind: str) -> None:
    """Print the JSON Schema (draft 7) of a KIND of manifest."""
    from controller.source.kinds import load_schema  # noqa: PLC0415 - `version` does without jsonschema

    show_json(load_schema(kind))


@click.command()
@json_option
@pass_daemon
def version_command(daemon: Daemon, output: str) -> None:
    """Print the version, also of the daemon where one answers."""
    running = _running_version(daemon)
    if output == "json":
        show_json({"client": __version__} | ({"daemon": running} if running else {}))
        return
    click.echo(f"sandkeeper {__version__}")
    if running:
        click.echo(f"daemon {running} on {daemon.state_dir}")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    bash: source <(sandkeeper completion bash); zsh: the same with zsh; fish: sandkeeper completion fish | source.
    """
    script = get_completion_class(shell)
    if script is None:
        raise UsageError(f"{shell} cannot be completed; use bash, zsh or fish")
    click.echo(script(ctx.find_root().command, {}, "sandkeeper", "_SANDKEEPER_COMPLETE").source())


def _running_version(daemon: Daemon) -> str | None:
    try:
        return str(daemon.info().get("version")) if daemon.has_socket() else None
    except SandkeeperError:
        return None
