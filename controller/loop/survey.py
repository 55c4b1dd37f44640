"""Everything at once: what is known of all sandboxes, and a plan of all of them as lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from controller.model.errors import RuntimeFailure
from controller.model.identity import Key
from controller.model.manifest import Snapshot
from controller.model.spec import Desired
from controller.plan.reach import why_away
from controller.plan.sandbox import plan_ahead
from controller.report.protocol import Preview, SandboxView

from .outlook import Outlook
from .world import Entry, World


def views_of(world: World) -> list[SandboxView]:
    """Every sandbox that has a status, by key, with its latest measurement."""
    declared = world.declared()
    views = (view_of(key, entry, declared.get(key)) for key, entry in sorted(world.entries().items()))
    return [view for view in views if view is not None]


def view_of(key: Key, entry: Entry, desired: Desired | None) -> SandboxView | None:
    """One sandbox as it is served, or None before its first pass."""
    if entry.status is None:
        return None
    return SandboxView(key, desired, entry.record, replace(entry.status, usage=entry.usage))


def preview_of(world: World, outlook: Outlook) -> Preview:
    """What would be done now, and what stands in the way of more; changes nothing."""
    return Preview(_planned_lines(world, outlook), list(_faults(world.snapshot())))


def _faults(snapshot: Snapshot) -> Iterator[str]:
    yield from (str(fault) for fault in snapshot.faults if not fault.warning)
    if snapshot.prune is not None:
        keys = snapshot.prune.keys
        told = "1 removal is" if len(keys) == 1 else f"{len(keys)} removals are"
        yield f"{told} held back: {snapshot.prune.reason}"


def _planned_lines(world: World, outlook: Outlook) -> list[str]:
    """One line for each operation of the next batch of every key, with its cause.

    A key of which nothing can be said, since its runtime is away, has a line that begins with `unknown`.
    """
    lines = []
    for key in sorted(world.all_keys()):
        try:
            view = outlook.view(key)
        except RuntimeFailure as exc:
            lines.append(f"unknown {key}: {exc}")
            continue
        if view is None:
            continue
        plan = plan_ahead(view)
        lines.extend(str(operation) for operation in plan.operations)
        if plan.verdict.degraded in {why_away(view, runtime) for runtime in view.unseen}:
            lines.append(f"unknown {key}: {': '.join(plan.verdict.degraded)}")
    return lines
