"""Tables: rich's on a terminal, aligned plain text in a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

import click

from controller.model.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

_GAP: Final = "   "
_LEAST_LAST: Final = 32  # the last column is wrapped, but not into a strip of letters
_STYLES: Final = {
    "Running": "green",
    "True": "green",
    "ok": "green",
    "Enforced": "green",
    "Succeeded": "green",
    "Pending": "yellow",
    "Creating": "yellow",
    "Suspended": "cyan",
    "Terminating": "magenta",
    "False": "yellow",
    "warn": "yellow",
    "Warning": "yellow",
    "Measured": "yellow",
    "CrashLoopBackOff": "red",
    "Failed": "red",
    "fail": "bold red",
    "Unenforceable": "red",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A header and rows of as many cells; what would move a terminal's cursor is escaped in them."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", [[printable(cell) for cell in row] for row in self.rows])


def on_terminal() -> bool:
    """Whether stdout is a terminal that can do more than print letters."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def show(table: Table, indent: int = 0) -> None:
    """Print it."""
    if not on_terminal():
        click.echo("\n".join(" " * indent + line for line in plain(table)))
        return
    from rich.padding import Padding  # noqa: PLC0415 - a pipe does without rich, which costs 60 ms

    *widths, last = widths_of(table)
    least = indent + sum(width + len(_GAP) for width in widths) + min(last, _LEAST_LAST)
    console(least).print(Padding(rich_table(table), (0, 0, 0, indent), expand=False))


def plain(table: Table, least: Sequence[int] = ()) -> list[str]:
    """Lines of columns as wide as their widest cell and as `least`, cells in full; the last column is not padded."""
    widths = widths_of(table, least)
    lines = [table.headers, *table.rows]
    return [_GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def widths_of(table: Table, least: Sequence[int] = ()) -> list[int]:
    """The width of each column's widest cell, and as `least` at least."""
    widths = (max(map(len, column)) for column in zip(table.headers, *table.rows, strict=True))
    return [max(pair) for pair in zip_longest(widths, least, fillvalue=0)]


def rich_table(table: Table) -> RichTable:
    """The table with colours; only its last column is wrapped where the terminal is narrow."""
    from rich.table import Table as Rich  # noqa: PLC0415 - see above
    from rich.text import Text  # noqa: PLC0415 - see above

    drawn = Rich(box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0), header_style="bold")
    for header in table.headers:
        drawn.add_column(header, no_wrap=header != table.headers[-1], overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(cell, style=style_of(cell)) for cell in row))
    return drawn


def console(least: int = 0) -> Console:
    """A console that leaves the words as they are; where the terminal is narrower than `least`, its lines wrap."""
    from rich.console import Console  # noqa: PLC0415 - see above

    made = Console(highlight=False, markup=False, emoji=False)
    made.width = max(made.width, least)
    return made


def style_of(word: str) -> str:
    """The colour of a word: a phase, a status, or a percentage of a limit."""
    if word.endswith("%") and word[:-1].isdigit():
        return "red" if int(word[:-1]) >= 95 else "yellow" if int(word[:-1]) >= 80 else ""
    return _STYLES.get(word, "")
