"""A plan of everything, as lines: what the loop would do, from the same views and the same planner."""

from __future__ import annotations

from controller.model.errors import RuntimeFailure
from controller.plan.sandbox import plan_sandbox

from .outlook import Outlook
from .world import World


def planned_lines(world: World, outlook: Outlook) -> list[str]:
    """One line for each operation of the next batch of every key, with its cause; changes nothing."""
    lines = []
    for key in sorted(world.all_keys()):
        try:
            view = outlook.view(key)
        except RuntimeFailure as exc:
            lines.append(f"unknown {key}: {exc}")
            continue
        if view is not None:
            lines.extend(str(operation) for operation in plan_sandbox(view).operations)
    return lines
