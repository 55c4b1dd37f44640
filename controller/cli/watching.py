"""Sandboxes as they change: a table drawn anew on a terminal, what differs in a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import click

from controller.cli.item import Item, Target
from controller.cli.listing import Layout
from controller.cli.output import as_yaml, show_json
from controller.cli.table import Table, console, plain, rich_table, widths_of


class Lines:
    """A table that goes on in a pipe: its header once, its columns only ever grow."""

    def __init__(self) -> None:
        self._widths: list[int] = []

    def print(self, more: Table) -> None:
        """Print further rows, at once."""
        headed = bool(self._widths)
        self._widths = widths_of(more, self._widths)
        for line in plain(more, self._widths)[headed:]:
            click.echo(line)


def live_table(tables: Iterable[Table]) -> None:
    """One table, drawn anew in place."""
    from rich.live import Live  # noqa: PLC0415 - a pipe does without rich

    with Live(console=console(), auto_refresh=False, vertical_overflow="visible") as live:
        for table in tables:
            live.update(rich_table(table), refresh=True)


def follow_json(feed: Iterable[list[Item]]) -> None:
    """All of them in one line of JSON whenever something differs."""
    for document in _changes(feed):
        show_json(document, compact=True)


def follow_yaml(feed: Iterable[list[Item]]) -> None:
    """All of them as a YAML document whenever something differs."""
    for document in _changes(feed):
        click.echo(f"---\n{as_yaml(document)}", nl=False)


def follow_lines(feed: Iterable[list[Item]], layout: Layout) -> None:
    """A line for every sandbox whose state differs, and one when it is gone."""
    shown: dict[Target, list[str]] = {}
    lines, headers = Lines(), layout.headers()
    status = headers.index("STATUS")
    for items in feed:
        rows = {item.target: layout.row(item, time.time()) for item in items}
        fresh = [row for target, row in rows.items() if target not in shown or layout.changed(shown[target], row)]
        gone = [row for target, row in shown.items() if target not in rows]
        for row in gone:
            row[status] = "Deleted"
        lines.print(Table(headers, [*fresh, *gone]))
        shown = rows


def _changes(feed: Iterable[list[Item]]) -> Iterator[dict[str, Any]]:
    shown = None
    for items in feed:
        document = {"items": [item.document for item in items]}
        if document != shown:
            shown = document
            yield document
