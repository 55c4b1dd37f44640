"""What is wrong with the whole, told on stderr beside any answer about sandboxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from controller.cli.item import Target
from controller.model.printable import printable

_FAULTS_SHOWN: Final = 5


def tell(info: Mapping[str, Any]) -> None:
    """Print the notices of a DaemonInfo document."""
    for notice in notices(info):
        click.echo(f"{click.style('note:', fg='yellow')} {printable(notice)}", err=True)


def tell_of(target: Target, info: Mapping[str, Any]) -> None:
    """Print what a DaemonInfo document says of one sandbox: that its removal is held back."""
    if str(target) in (info.get("pruneKeys") or []):
        told = f"no file declares {target} any more, and its removal is held back: {info.get('pruneReason')}"
        click.echo(f"{click.style('note:', fg='yellow')} {printable(told)}; see 'sandkeeper prune'", err=True)


def notices(info: Mapping[str, Any]) -> Iterator[str]:
    """One line each: removals held back, engines down, manifests refused."""
    if not info.get("synced", True):
        yield "the first scan of the manifests is not over yet"
    if reason := info.get("pruneReason"):
        keys = info.get("pruneKeys") or []
        told = "1 removal is" if len(keys) == 1 else f"{len(keys)} removals are"
        yield f"{told} held back: {reason}; see 'sandkeeper prune'"
    for runtime in info.get("runtimes") or []:
        if not runtime.get("available", True):
            yield f"the {runtime['runtime']} runtime is away ({runtime.get('reason')}): {runtime.get('message')}"
    faults = info.get("faults") or []
    yield from faults[:_FAULTS_SHOWN]
    if len(faults) > _FAULTS_SHOWN:
        yield f"and {len(faults) - _FAULTS_SHOWN} more faults; see 'sandkeeper validate {info.get('manifests')}'"
