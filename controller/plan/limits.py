"""Limits that are to be in force, and what of them differs from those that are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from controller.model.hold import HoldType
from controller.model.observed import Capabilities, Observed
from controller.model.operation import Operation, Verb
from controller.model.quantity import format_cpu, format_memory
from controller.model.record import Record
from controller.model.spec import Desired, Limits
from controller.plan.view import View

_UPDATED_IN_PLACE = ("memory", "cpu", "pids")


def limits_in_force(view: View, desired: Desired, able: Capabilities) -> Limits:
    """The spec's limits, lowered by a Throttled hold and by the machine's own size."""
    limits = desired.spec.limits
    if limits.cpu is not None and able.max_cpu:
        limits = replace(limits, cpu=min(limits.cpu, able.max_cpu))
    for hold in view.holds:
        if hold.type is HoldType.THROTTLED and hold.value is not None:
            limits = replace(limits, cpu=min(hold.value, limits.cpu or hold.value))
    return limits


def update_of(view: View, desired: Desired, seen: Observed, able: Capabilities) -> Operation | None:
    """The update in place that puts the wanted limits in force, or None where they are."""
    wanted = limits_in_force(view, desired, able)
    differing = [name for name in _UPDATED_IN_PLACE if name in able.updatable and _differs(name, wanted, seen.limits)]
    if not differing:
        return None
    drifted = [name for name in differing if _is_drift(name, view.record, wanted)]
    return Operation(
        Verb.UPDATE,
        view.key,
        seen.runtime,
        "; ".join(_causes(view, differing, wanted, seen.limits)),
        target=seen.id,
        limits=wanted,
        field=drifted[0] if drifted else "",
    )


def _differs(name: str, wanted: Limits, live: Limits) -> bool:
    value: int | None = getattr(wanted, name)
    return value is not None and value != getattr(live, name)


def _is_drift(name: str, record: Record, wanted: Limits) -> bool:
    return record.applied is not None and getattr(record.applied, name) == getattr(wanted, name)


def _causes(view: View, differing: list[str], wanted: Limits, live: Limits) -> Iterator[str]:
    for name in differing:
        was, will = format_limit(name, getattr(live, name)), format_limit(name, getattr(wanted, name))
        if _is_drift(name, view.record, wanted):
            yield f"{name} limit was changed from outside to {was}, {will} is wanted"
        elif name == "cpu" and (throttle := _throttle_cause(view)):
            yield f"{throttle}: cpu {was} → {will}"
        else:
            yield f"spec.resources.limits.{name} changed {was} → {will}"


def _throttle_cause(view: View) -> str:
    return next((hold.cause for hold in view.holds if hold.type is HoldType.THROTTLED), "")


def format_limit(name: str, value: int | None) -> str:
    """A limit in the manifest's own units; `none` for unlimited."""
    if value is None:
        return "none"
    if name in ("memory", "disk"):
        return format_memory(value)
    return format_cpu(value) if name == "cpu" else str(value)
