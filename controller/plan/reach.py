"""Which runtimes can be reached, and what a sandbox is to be while its engine cannot."""

from __future__ import annotations

from controller.model.observed import InstanceState
from controller.model.record import Record
from controller.model.spec import Desired
from controller.plan.cast import RUNTIME_OF
from controller.plan.view import View


def is_away(view: View, runtime: str) -> bool:
    """True where nothing is known of the runtime's instances now."""
    able = view.capabilities.get(runtime)
    return able is None or not able.available or runtime in view.unseen


def within_reach(view: View, desired: Desired) -> Desired:
    """The desired sandbox, or its fallback where its engine is away and no container of it can be alive."""
    runtime = RUNTIME_OF[desired.spec.isolation]
    if desired.fallback is None or not is_away(view, runtime):
        return desired
    return desired.fallback if runtime not in may_hold(view.record) or _another_runs(view) else desired


def may_hold(record: Record) -> frozenset[str]:
    """The runtimes that may hold an instance, whether or not they can be asked."""
    runtimes = {record.runtime, record.replacing.runtime if record.replacing else ""}
    return frozenset(runtimes - {""})


def away_of(view: View, desired: Desired, has_current: bool) -> str:
    """The runtime without which nothing can be planned, or the empty string.

    Where the wanted instance is seen, its predecessor was quieted before it was created: then that one's runtime may
    be away. The same holds for a fallback, which is chosen only where its engine runs nothing.
    """
    needed = {RUNTIME_OF[desired.spec.isolation]}
    if not has_current and desired is view.desired:
        needed |= may_hold(view.record)
    return min((runtime for runtime in needed if is_away(view, runtime)), default="")


def why_away(view: View, runtime: str) -> tuple[str, str]:
    """The reason and message of a runtime that is away."""
    able = view.capabilities.get(runtime)
    reason = (able.reason if able else "") or "EngineDown"
    return reason, (able.message if able else "") or f"the {runtime} runtime does not answer"


def _another_runs(view: View) -> bool:
    # An old instance is quieted before its successor is created: one that runs is the only one that can.
    uid = view.record.uid
    return any(seen.state is InstanceState.RUNNING and seen.owner.uid == uid for seen in view.observed)
