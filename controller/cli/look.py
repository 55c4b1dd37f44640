"""Verbs that show sandboxes: get, describe, explain, top."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import click

from controller.cli import notices
from controller.cli.client import Daemon
from controller.cli.describe import Section, sections
from controller.cli.explain import sentences
from controller.cli.item import Item, Target
from controller.cli.listing import Layout, top_table
from controller.cli.lookup import find, unknown
from controller.cli.options import complete_names, json_option, namespace_option, parse_target, pass_daemon, pass_target
from controller.cli.output import show_json, show_yaml
from controller.cli.table import Table, on_terminal, show
from controller.cli.watching import follow_json, follow_lines, follow_yaml, live_table
from controller.model.printable import printable

_DESCRIBED_EVENTS: Final = 20
_SORTS: Final = {"cpu": "cpuMillis", "memory": "workingSet", "pids": "pids", "disk": "disk"}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which sandboxes are asked for: some by name, else those of a namespace, else all."""

    targets: Sequence[Target]
    namespace: str | None

    def of(self, items: Iterable[Item]) -> list[Item]:
        """Those chosen among the items."""
        if self.targets:
            return [item for item in items if item.target in self.targets]
        return [item for item in items if self.namespace in (None, item.target.namespace)]


def choose(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Add `[NAME…] [-A] [-n NS]` and call the command with a Choice."""

    @click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_names)
    @namespace_option
    @click.option("-A", "--all-namespaces", is_flag=True, help="Those of every namespace.")
    def chosen(
        daemon: Daemon, names: tuple[str, ...], namespace: str | None, all_namespaces: bool, **given: object
    ) -> int | None:
        if all_namespaces and (names or namespace):
            raise click.UsageError("-A goes with neither a NAME nor -n")
        targets = [parse_target(name, namespace) for name in names]
        return command(daemon, Choice(targets, None if all_namespaces else namespace or "default"), **given)

    chosen.__doc__ = command.__doc__
    return chosen


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "yaml", "json"]),
    default="table",
    show_default=True,
    help="How to print them.",
)
@click.option("-w", "--watch", is_flag=True, help="Go on, and print what changes.")
@pass_daemon
@choose
def get_command(daemon: Daemon, choice: Choice, output: str, watch: bool) -> None:
    """List sandboxes, or show some.

    NAME is in the namespace 'default' unless -n or NAMESPACE/NAME says otherwise.
    """
    layout = Layout(namespaces=choice.namespace is None and not choice.targets, wide=output == "wide")
    if watch:
        _watch(map(choice.of, daemon.watch()), output, layout)
        return
    try:
        _print(_chosen(daemon, choice), output, layout)
    finally:
        notices.tell(daemon.info())


@click.command()
@pass_daemon
@pass_target
def describe_command(daemon: Daemon, target: Target) -> None:
    """Show all that is known of a sandbox."""
    item = find(daemon, target)
    for index, section in enumerate(sections(item, daemon.events(target, limit=_DESCRIBED_EVENTS), time.time())):
        if index:
            click.echo()
        _print_section(section)
    notices.tell_of(target, daemon.info())


@click.command()
@pass_daemon
@pass_target
def explain_command(daemon: Daemon, target: Target) -> None:
    """Say why a sandbox is as it is, and what comes next."""
    item, (operations, _) = find(daemon, target), daemon.plan()
    for sentence in sentences(item, operations, time.time()):
        click.echo(printable(sentence))


@click.command()
@json_option
@click.option(
    "--sort",
    type=click.Choice(["name", "cpu", "memory", "pids", "disk"]),
    default="name",
    show_default=True,
    help="Order.",
)
@click.option("-w", "--watch", is_flag=True, help="Go on, and show each new measurement.")
@pass_daemon
@choose
def top_command(daemon: Daemon, choice: Choice, output: str, sort: str, watch: bool) -> None:
    """Show usage beside the limits."""
    named = choice.namespace is None and not choice.targets

    def table(items: Iterable[Item]) -> Table:
        return top_table(_sorted(choice.of(items), sort), named, time.time())

    if watch and not on_terminal():
        raise click.UsageError("-w draws on a terminal; in a script, scrape /metrics")
    if watch:
        live_table(map(table, daemon.watch()))
        return
    items = _sorted(_chosen(daemon, choice), sort)
    if output == "json":
        show_json({"items": [{"metadata": item.metadata, "usage": item.usage} for item in items]})
    elif items:
        show(table(items))


def _sorted(items: Sequence[Item], by: str) -> list[Item]:
    """By name, else the greatest first."""
    if by not in _SORTS:
        return list(items)
    return sorted(items, key=lambda item: item.usage.get(_SORTS[by]) or 0, reverse=True)


def _chosen(daemon: Daemon, choice: Choice) -> list[Item]:
    known = daemon.sandboxes()
    for target in choice.targets:
        if all(item.target != target for item in known):
            raise unknown(target, known)
    items = choice.of(known)
    if not items:
        where = f"in namespace {choice.namespace}" if choice.namespace else "at all"
        elsewhere = f"; -A shows the {len(known)} of other namespaces" if known else ""
        click.echo(f"no sandboxes {where}{elsewhere}", err=True)
    return items


def _watch(feed: Iterator[list[Item]], output: str, layout: Layout) -> None:
    if output == "json":
        follow_json(feed)
    elif output == "yaml":
        follow_yaml(feed)
    elif on_terminal():
        live_table(layout.table(items, time.time()) for items in feed)
    else:
        follow_lines(feed, layout)


def _print(items: Sequence[Item], output: str, layout: Layout) -> None:
    document = {"items": [item.document for item in items]}
    if output == "json":
        show_json(document)
    elif output == "yaml":
        show_yaml(document)
    elif items:
        show(layout.table(items, time.time()))


def _print_section(section: Section) -> None:
    if section.title:
        click.secho(f"{section.title}:", bold=True)
    indent = 2 if section.title else 0
    if isinstance(section.body, Table):
        show(section.body, indent)
        return
    for line in section.body:
        click.echo(" " * indent + printable(line))
