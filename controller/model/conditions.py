"""Conditions in the manner of Kubernetes: lastTransitionTime moves only when the status flips."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal


class ConditionType(StrEnum):
    """agent-sandbox's types where it has them; the others are ours."""

    ACCEPTED = "Accepted"
    READY = "Ready"
    SUSPENDED = "Suspended"
    FINISHED = "Finished"
    DEGRADED = "Degraded"
    LIMITS_ENFORCED = "LimitsEnforced"


ConditionStatus = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; `last_transition_time` is seconds since the epoch."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str = ""
    last_transition_time: float = 0.0


def merge_conditions(previous: Iterable[Condition], present: Iterable[Condition], now: float) -> tuple[Condition, ...]:
    """The present conditions, each with its former transition time unless its status flipped."""
    before = {condition.type: condition for condition in previous}
    merged = []
    for condition in present:
        old = before.get(condition.type)
        unchanged = old is not None and old.status == condition.status
        moved = old.last_transition_time if old is not None and unchanged else now
        merged.append(replace(condition, last_transition_time=moved))
    return tuple(merged)


def condition_of(conditions: Iterable[Condition], wanted: ConditionType) -> Condition | None:
    """The condition of one type, or None."""
    return next((condition for condition in conditions if condition.type == wanted), None)
