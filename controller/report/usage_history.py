"""The last hour of usage of each sandbox, in a few kilobytes each."""

from __future__ import annotations

import math
import threading
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from controller.model.identity import Key
from controller.model.observed import Usage
from controller.model.spec import Resource

SLOT_SECONDS: Final = 30.0
SLOTS: Final = 120
RESOURCES: Final = (Resource.MEMORY, Resource.CPU, Resource.PIDS, Resource.DISK)

_NOTHING: Final = math.nan


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """What the history tells of one sandbox.

    `cpu_millis` is the rate between the last two measurements, in thousandths of a core. `p95` is over the half minutes
    of the last hour: of memory and disk (bytes) and pids their highest value, of cpu (thousandths of a core) its mean.
    """

    cpu_millis: float | None
    p95: dict[Resource, float]


class UsageHistory:
    """Fed with every tick's measurements, read while views are rendered. Safe for threads; about 2.5 kB a sandbox."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rings: dict[Key, _Ring] = {}

    def observe(self, usages: Mapping[Key, Usage]) -> None:
        """Take in one tick's measurements. One that was not measured keeps its history until an hour has passed."""
        with self._lock:
            for key, usage in usages.items():
                ring = self._rings.get(key)
                if ring is None:
                    ring = self._rings[key] = _Ring()
                ring.add(usage)
            newest = max((usage.at for usage in usages.values()), default=0.0)
            for key in [key for key, ring in self._rings.items() if ring.ended_before(newest - SLOTS * SLOT_SECONDS)]:
                del self._rings[key]

    def forget(self, key: Key) -> None:
        """A sandbox is gone."""
        with self._lock:
            self._rings.pop(key, None)

    def summary(self, key: Key) -> UsageSummary | None:
        """What is known of one sandbox; None before its first measurement."""
        with self._lock:
            ring = self._rings.get(key)
            return ring.summary() if ring and ring.last else None


class _Ring:
    """One slot a half minute, by resource; a slot without a measurement holds NaN."""

    def __init__(self) -> None:
        self.last: Usage | None = None
        self._cpu_millis: float | None = None
        self._slot = 0
        self._slot_began: Usage | None = None  # what the slot's mean of cpu is counted from
        self._values = {resource: array("f", [_NOTHING] * SLOTS) for resource in RESOURCES}

    def add(self, usage: Usage) -> None:
        last = self.last
        if last is not None and usage.at == last.at:
            return
        continues = last is not None and usage.at > last.at and usage.cpu_seconds >= last.cpu_seconds
        self._cpu_millis = _rate(last, usage) if last is not None and continues else None
        self._turn_to(int(usage.at // SLOT_SECONDS), last if continues else usage)
        if not continues:
            self._slot_began = usage  # another instance, or the clock was set: nothing to take a rate from
        self._fill(usage)
        self.last = usage

    def ended_before(self, at: float) -> bool:
        return self.last is None or self.last.at < at

    def summary(self) -> UsageSummary:
        p95 = {resource: _p95(values) for resource, values in self._values.items()}
        return UsageSummary(self._cpu_millis, {resource: value for resource, value in p95.items() if value is not None})

    def _turn_to(self, slot: int, began: Usage | None) -> None:
        if self.last is not None and slot == self._slot:
            return
        backwards = slot < self._slot
        gone = SLOTS if backwards else min(SLOTS, slot - self._slot)
        for values in self._values.values():
            for passed in range(slot - gone + 1, slot + 1):
                values[passed % SLOTS] = _NOTHING
        self._slot, self._slot_began = slot, began

    def _fill(self, usage: Usage) -> None:
        at = self._slot % SLOTS
        highest = {Resource.MEMORY: usage.working_set, Resource.PIDS: usage.pids, Resource.DISK: usage.disk}
        for resource, value in highest.items():
            if value is not None:
                self._raise(resource, at, value)
        if self._slot_began is not None and usage.at > self._slot_began.at:
            self._values[Resource.CPU][at] = _rate(self._slot_began, usage)

    def _raise(self, resource: Resource, at: int, value: float) -> None:
        values = self._values[resource]
        if not values[at] >= value:  # NaN compares false
            values[at] = value


def _p95(values: array[float]) -> float | None:
    """By nearest rank."""
    known = sorted(value for value in values if not math.isnan(value))
    return known[math.ceil(0.95 * len(known)) - 1] if known else None


def _rate(before: Usage, after: Usage) -> float:
    return (after.cpu_seconds - before.cpu_seconds) / (after.at - before.at) * 1000
