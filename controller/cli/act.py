"""Verbs that act now: suspend, resume, restart, reconcile, delete, restore, prune."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from controller.cli.client import Daemon
from controller.cli.item import Target
from controller.cli.lookup import unknown
from controller.cli.options import (
    complete_names,
    namespace_option,
    parse_target,
    pass_daemon,
    pass_target,
    pass_targets,
)
from controller.cli.output import show_yaml
from controller.model.errors import (
    DaemonUnreachableError,
    SandkeeperError,
    UnknownSandboxError,
    UsageError,
)
from controller.model.identity import API_VERSION, SANDBOX
from controller.model.printable import printable


@click.command()
@pass_daemon
@pass_targets
def suspend_command(daemon: Daemon, targets: Sequence[Target]) -> int:
    """Suspend sandboxes until they are resumed.

    How, the manifest says: spec.suspend.mode Stop (the workspace stays) or Freeze (processes stay, paused).
    """
    return _each(daemon, targets, "suspend", lambda _: "suspended")


@click.command()
@pass_daemon
@pass_targets
def resume_command(daemon: Daemon, targets: Sequence[Target]) -> int:
    """End what holds sandboxes: suspended, stopped, paused or deleted."""
    return _each(daemon, targets, "resume", _released)


@click.command()
@pass_daemon
@pass_targets
def restart_command(daemon: Daemon, targets: Sequence[Target]) -> int:
    """Stop and start sandboxes once."""
    return _each(daemon, targets, "restart", lambda _: "restarting")


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_names)
@namespace_option
@pass_daemon
def reconcile_command(daemon: Daemon, names: Sequence[str], namespace: str | None) -> int:
    """Look again now, without waiting for a backoff.

    Without a NAME: read every manifest anew and look at every sandbox.
    """
    if names:
        return _each(daemon, [parse_target(name, namespace) for name in names], "reconcile", lambda _: "reconciling")
    if namespace:
        raise click.UsageError("-n needs a NAME: without one, everything is looked at")
    daemon.reconcile_all()
    click.echo("reconciling everything")
    return 0


@click.command()
@click.option("--hold", is_flag=True, help="Also one that a file declares: keep it away until an edit or 'resume'.")
@pass_daemon
@pass_targets
def delete_command(daemon: Daemon, targets: Sequence[Target], hold: bool) -> int:
    """Remove sandboxes that no file declares.

    One that a file declares is removed by removing it from the file. Its workspace goes to the trash: see 'restore'.
    """
    return _each(daemon, targets, "delete", lambda _: "deleting", {"hold": hold})


@click.command()
@pass_daemon
@pass_target
def restore_command(daemon: Daemon, target: Target) -> None:
    """Bring a deleted sandbox's workspace back from the trash.

    Where no file declares the sandbox, its last manifest is printed: 'sandkeeper restore web > manifests/web.yaml'
    brings back both.
    """
    answer = daemon.act(target, "restore")
    click.echo(f"{target}: workspace restored in {answer.get('path')}", err=True)
    if answer.get("declared", True):
        return
    click.echo(f"{target}: no file declares it; the workspace waits for a manifest of its name", err=True)
    if document := answer.get("document"):
        show_yaml({"apiVersion": API_VERSION, "kind": SANDBOX} | _without_nulls(document))


@click.command()
@click.argument("hash_", metavar="[HASH]", required=False)
@click.option("--confirm", is_flag=True, help="Release them; with HASH, only that very set.")
@pass_daemon
def prune_command(daemon: Daemon, hash_: str | None, confirm: bool) -> int:
    """Show or release removals that are held back.

    Exit 0 where nothing is held back or all was released, 2 where removals wait to be confirmed.
    """
    if hash_ and not confirm:
        raise click.UsageError("a HASH is given to --confirm: prune --confirm HASH")
    if confirm:
        for released in daemon.prune(hash_):
            click.echo(f"{released}: removing")
        return 0
    info = daemon.info()
    if not info.get("pruneReason"):
        click.echo("no removals are held back")
        return 0
    click.echo(f"held back: {printable(info['pruneReason'])}")
    for key in info.get("pruneKeys") or []:
        click.echo(f"  {key}")
    click.echo(f"release exactly these with: sandkeeper prune --confirm {info.get('pruneHash')}")
    return 2


def _without_nulls(document: dict[str, Any]) -> dict[str, Any]:
    """As a person writes it: what has no value is left out."""
    return {
        name: _without_nulls(value) if isinstance(value, dict) else value
        for name, value in document.items()
        if value is not None
    }


def _each(
    daemon: Daemon,
    targets: Sequence[Target],
    verb: str,
    say: Callable[[dict[str, Any]], str],
    body: dict[str, Any] | None = None,
) -> int:
    """Ask for all of them, whatever becomes of one; the exit status of the worst."""
    worst = 0
    for target in targets:
        try:
            answer = daemon.act(target, verb, body)
        except DaemonUnreachableError:
            raise
        except SandkeeperError as exc:
            click.echo(f"error: {printable(_reason(daemon, target, exc))}", err=True)
            worst = max(worst, 64 if isinstance(exc, UsageError) else 1)
            continue
        click.echo(f"{target}: {say(answer)}")
    return worst


def _reason(daemon: Daemon, target: Target, exc: SandkeeperError) -> str:
    return str(unknown(target, daemon.sandboxes()) if isinstance(exc, UnknownSandboxError) else exc)


def _released(answer: dict[str, Any]) -> str:
    released = answer.get("released") or []
    return f"resumed from {', '.join(released)}" if released else "nothing held it"
