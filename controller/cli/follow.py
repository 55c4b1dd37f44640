"""Verbs that follow what happens: events, wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Final

import click

from controller.cli.client import Daemon
from controller.cli.describe import event_table
from controller.cli.item import Item, Target
from controller.cli.lookup import unknown
from controller.cli.options import (
    complete_names,
    duration,
    json_option,
    namespace_option,
    parse_target,
    pass_daemon,
    pass_targets,
)
from controller.cli.output import show_json
from controller.cli.table import show
from controller.cli.watching import Lines
from controller.model.conditions import ConditionType
from controller.model.printable import printable
from controller.model.quantity import format_duration

Wish = Callable[[Item | None], bool]
Event = dict[str, Any]
_CONDITIONS: Final = frozenset(kind.lower() for kind in ConditionType)


@click.command()
@click.argument("name", required=False, shell_complete=complete_names)
@namespace_option
@click.option("-A", "--all-namespaces", is_flag=True, help="Those of every namespace.")
@click.option("-w", "--watch", is_flag=True, help="Go on, and print new ones.")
@json_option
@pass_daemon
def events_command(
    daemon: Daemon, name: str | None, namespace: str | None, all_namespaces: bool, watch: bool, output: str
) -> None:
    """List what happened, oldest first."""
    if all_namespaces and (name or namespace):
        raise click.UsageError("-A goes with neither a NAME nor -n")
    target = parse_target(name, namespace) if name else None
    within = None if all_namespaces else namespace or "default"
    if watch:
        _follow_events(daemon.watch_events(target, within), output, named=target is None)
    elif output == "json":
        show_json({"items": daemon.events(target, within)})
    else:
        show(event_table(daemon.events(target, within), time.time(), named=target is None))


@click.command()
@click.option(
    "--for",
    "wanted",
    required=True,
    metavar="WHAT",
    help="Ready, Suspended, Finished, delete, condition=TYPE[=STATUS] or phase=PHASE.",
)
@click.option("--timeout", type=duration, default="60s", show_default=True, metavar="DURATION", help="How long.")
@pass_daemon
@pass_targets
def wait_command(daemon: Daemon, targets: list[Target], wanted: str, timeout: float) -> int | None:
    """Wait until sandboxes reach a condition.

    Exit 1 where they do not in time. One that does not exist yet is waited for: it may be about to appear.
    """
    wish = parse_wish(wanted)
    deadline = time.monotonic() + timeout
    missing = list(targets)
    found: dict[Target, Item] = {}
    # The first look is not hurried: a timeout of 0s asks how things are now.
    for items in chain([daemon.sandboxes()], daemon.watch(deadline)):
        found = {item.target: item for item in items}
        for target in [target for target in missing if wish(found.get(target))]:
            missing.remove(target)
            click.echo(f"{target}: {wanted}")
        if not missing:
            return None
    for target in missing:
        told = _present(found.get(target), target, list(found.values()))
        click.echo(f"error: {target} is not {wanted} after {format_duration(timeout)}: {printable(told)}", err=True)
    return 1


def parse_wish(text: str) -> Wish:
    """A test of a sandbox (None: it does not exist). Raises click.UsageError."""
    what, _, rest = text.partition("=")
    if what == "delete" and not rest:
        return lambda item: item is None
    if what == "phase" and rest:
        return lambda item: item is not None and item.phase.lower() == rest.lower()
    kind, _, status = rest.partition("=") if what == "condition" else (text, "", "")
    if kind.lower() not in _CONDITIONS:
        raise click.UsageError(
            f"{text!r} cannot be waited for; write Ready, delete, phase=Running or condition=Degraded=False"
        )
    return lambda item: (
        item is not None and str(item.condition(kind).get("status")).lower() == (status or "True").lower()
    )


def _present(item: Item | None, target: Target, known: Sequence[Item]) -> str:
    if item is None:
        return str(unknown(target, known))
    ready = item.condition("Ready")
    message = f": {ready['message']}" if ready.get("message") else ""
    return f"it is {item.phase}, Ready is {ready.get('status', 'Unknown')} ({ready.get('reason', '-')}){message}"


def _follow_events(feed: Iterable[list[Event]], output: str, named: bool) -> None:
    lines = Lines()
    for fresh in feed:
        if output == "text":
            lines.print(event_table(fresh, time.time(), named))
            continue
        for event in fresh:
            show_json(event, compact=True)
