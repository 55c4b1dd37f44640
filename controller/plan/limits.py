"""Limits that are to be in force, and what of them differs from those that are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from controller.model.hold import Hold, HoldType
from controller.model.observed import Capabilities, Observed
from controller.model.operation import Operation, Verb
from controller.model.quantity import format_cpu, format_memory
from controller.model.record import Record
from controller.model.spec import Desired, Limits
from controller.plan.view import View

_UPDATED_IN_PLACE: Final = ("memory", "cpu", "pids")
_REFUSABLE: Final = ("memory", "pids")


def limits_in_force(view: View, desired: Desired, able: Capabilities) -> Limits:
    """The spec's limits, lowered by a Throttled hold and by the machine's own size."""
    return lowered(desired.spec.limits, able.max_cpu, throttled_to(view.holds))


def lowered(limits: Limits, max_cpu: int, throttle: int | None) -> Limits:
    """Limits with cpu lowered to the machine's (thousandths of a core; 0: unknown) and to a throttle's."""
    bounds = [bound for bound in (limits.cpu, throttle) if bound is not None]
    if bounds and max_cpu:
        bounds.append(max_cpu)
    cpu = min(bounds, default=None)
    return limits if cpu == limits.cpu else replace(limits, cpu=cpu)


def applied_limits(record: Record, wanted: Limits) -> Limits:
    """The limits that a sandbox is held to: memory, cpu and pids as last put in force, the others as wanted.

    A limit that cannot be put in force yet, or whose replacement failed, binds nobody.
    """
    applied = record.applied
    if applied is None or applied is wanted:
        return wanted
    return replace(wanted, memory=applied.memory, cpu=applied.cpu, pids=applied.pids)


def throttled_to(holds: Sequence[Hold]) -> int | None:
    """What the Throttled hold lowers cpu to, or None where there is none."""
    return next((hold.value for hold in holds if hold.type is HoldType.THROTTLED), None)


def in_force(view: View, record: Record, desired: Desired) -> Record:
    """The record once the wanted limits are in force."""
    return replace(record, applied=desired.spec.limits, throttled_to=throttled_to(view.holds))


def updates_of(view: View, desired: Desired, seen: Observed, able: Capabilities) -> tuple[Operation, ...]:
    """The updates in place that put the wanted limits in force, none where they are.

    What may be refused below present usage comes last and alone, so that it holds up nothing else.
    """
    wanted = _reachable(limits_in_force(view, desired, able), seen, able)
    differing = [
        name
        for name in _UPDATED_IN_PLACE
        if name in able.updatable and getattr(wanted, name) not in (None, getattr(seen.limits, name))
    ]
    refusable = [name for name in differing if _is_lowered(name, wanted, seen)]
    certain = [name for name in differing if name not in refusable]
    first = replace(wanted, **{name: getattr(seen.limits, name) for name in refusable})
    steps = ((certain, first), (refusable, wanted))
    return tuple(_update(view, seen, able, names, limits) for names, limits in steps if names)


def without_lowered(view: View, desired: Desired, seen: Observed) -> Record:
    """The record once everything but what lies below present usage is in force."""
    applied = view.record.applied or seen.limits
    wanted = desired.spec.limits
    kept = {name: getattr(applied, name) for name in _REFUSABLE if _is_lowered(name, wanted, seen)}
    return replace(in_force(view, view.record, desired), applied=replace(wanted, **kept))


def _is_lowered(name: str, wanted: Limits, seen: Observed) -> bool:
    will, was = getattr(wanted, name), getattr(seen.limits, name)
    return name in _REFUSABLE and will is not None and (was is None or will < was)


def _update(view: View, seen: Observed, able: Capabilities, names: Sequence[str], limits: Limits) -> Operation:
    last = _last_in_force(view.record, seen, able)
    drifted = [name for name in names if last is not None and getattr(last, name) == getattr(limits, name)]
    return Operation(
        Verb.UPDATE,
        view.key,
        seen.runtime,
        "; ".join(_cause(view, name, name in drifted, (seen.limits, limits)) for name in names),
        target=seen.id,
        limits=limits,
        drifted=tuple(drifted),
    )


def _reachable(wanted: Limits, seen: Observed, able: Capabilities) -> Limits:
    """A cpu limit cannot be taken off in place: where one has to go, all of the machine is the same."""
    if wanted.cpu is None and seen.limits.cpu is not None and able.max_cpu:
        return replace(wanted, cpu=able.max_cpu)
    return wanted


def _last_in_force(record: Record, seen: Observed, able: Capabilities) -> Limits | None:
    if record.applied is None:
        return None
    return _reachable(lowered(record.applied, able.max_cpu, record.throttled_to), seen, able)


def _cause(view: View, name: str, is_drift: bool, change: tuple[Limits, Limits]) -> str:
    was, will = (format_limit(name, getattr(limits, name)) for limits in change)
    if is_drift:
        return f"{name} limit was changed from outside to {was}, {will} is wanted"
    if name == "cpu" and (throttle := _throttle_cause(view)):
        return f"{throttle}: cpu {was} → {will}"
    return f"spec.resources.limits.{name} changed {was} → {will}"


def _throttle_cause(view: View) -> str:
    held = next((hold.cause for hold in view.holds if hold.type is HoldType.THROTTLED), "")
    return held or ("no longer throttled" if view.record.throttled_to is not None else "")


def format_limit(name: str, value: int | None) -> str:
    """A limit in the manifest's own units; `none` for unlimited."""
    if value is None:
        return "none"
    if name in ("memory", "disk"):
        return format_memory(value)
    return format_cpu(value) if name == "cpu" else str(value)
