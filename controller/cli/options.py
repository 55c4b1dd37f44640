"""Options and arguments that several verbs share."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from controller.cli.client import Daemon
from controller.cli.item import Target
from controller.config import default_state_dir
from controller.model.errors import SandkeeperError
from controller.model.quantity import parse_duration

Command = Callable[..., Any]

# A DNS label of RFC 1123, which names and namespaces are.
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

FOLDER: Final = click.Path(file_okay=False, path_type=Path)
# Only its owner may list it: that is for the client to tell, and for the doctor.
_STATE_FOLDER: Final = click.Path(file_okay=False, readable=False, path_type=Path)
_LEAST_TICK, _LONGEST_TICK = 0.1, 3600.0
state_dir_option = click.option(
    "--state-dir",
    type=_STATE_FOLDER,
    envvar="SANDKEEPER_STATE_DIR",
    default=default_state_dir,
    help="The daemon's state folder, also SANDKEEPER_STATE_DIR."
    "  [default: /var/lib/sandkeeper as root, else ~/.local/state/sandkeeper]",
)
namespace_option = click.option(
    "-n", "--namespace", metavar="NS", help="The namespace of a plain NAME.  [default: default]"
)
json_option = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print it."
)


def duration(value: str | float) -> float:
    """`90s`, `10m`, `1h30m` as seconds. Raises click.BadParameter."""
    if isinstance(value, int | float):
        return float(value)
    try:
        return parse_duration(value)
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc


def tick(value: str | float) -> float:
    """A duration that the loop can keep, in seconds: from 100ms to an hour. Raises click.BadParameter."""
    seconds = duration(value)
    if not _LEAST_TICK <= seconds <= _LONGEST_TICK:
        raise click.BadParameter(f"{value} is not between 100ms and 1h")
    return seconds


def pass_daemon(command: Command) -> Command:
    """Add `--state-dir` and call the command with that folder's daemon first."""

    @state_dir_option
    @functools.wraps(command)
    def with_daemon(state_dir: Path, **given: Any) -> Any:
        return command(Daemon(state_dir), **given)

    return with_daemon


def pass_target(command: Command) -> Command:
    """Add NAME and `-n` and call the command with `target`."""

    @click.argument("name", shell_complete=complete_names)
    @namespace_option
    @functools.wraps(command)
    def with_target(*args: Any, name: str, namespace: str | None, **given: Any) -> Any:
        return command(*args, target=parse_target(name, namespace), **given)

    return with_target


def pass_targets(command: Command) -> Command:
    """Add `NAME…` and `-n` and call the command with `targets`, at least one."""

    @click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_names)
    @namespace_option
    @functools.wraps(command)
    def with_targets(*args: Any, names: tuple[str, ...], namespace: str | None, **given: Any) -> Any:
        return command(*args, targets=[parse_target(name, namespace) for name in names], **given)

    return with_targets


def parse_target(name: str, namespace: str | None) -> Target:
    """The sandbox that `name` or `namespace/name` means. Raises click.UsageError."""
    said, _, plain = name.rpartition("/")
    if said and namespace and said != namespace:
        raise click.UsageError(f"{name} is not in the namespace {namespace} that -n names")
    target = Target(said or namespace or "default", plain)
    for part in target:
        if not _LABEL.fullmatch(part):
            raise click.UsageError(
                f"{part!r} is no name: lower-case letters, digits and '-', at most 63; write NAME or NAMESPACE/NAME"
            )
    return target


def complete_names(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The names that the daemon knows, for a shell; none where it cannot be asked within a second."""
    state_dir = ctx.params.get("state_dir") or default_state_dir()
    try:
        items = Daemon(state_dir, timeout=1.0).sandboxes()
    except SandkeeperError:
        return []
    namespace = ctx.params.get("namespace") or "default"
    names = [item.target.name if item.target.namespace == namespace else str(item.target) for item in items]
    return [name for name in names if name.startswith(incomplete)]
