"""What is remembered of one instance between two measurements, and what of that a change leaves. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from struct import Struct
from typing import Final

from controller.model.observed import Usage
from controller.model.record import Sample
from controller.model.spec import Limits, Resource

_KEPT_SAMPLES: Final = 30
_MEASURED: Final = (Resource.MEMORY, Resource.PIDS, Resource.DISK, Resource.CPU)
_NUMBERS: Final = Struct("<5d")
"""A measurement: its time, then of each of _MEASURED its value, NaN for none. As objects a thousand sandboxes' would
take 11 MB more."""


@dataclass(frozen=True, slots=True)
class Window:
    """What is remembered of one instance between two ticks. `cpu_rate` is in thousandths of a core.

    `active` are the marks of violations that last, as `disk/over` or `memory/warn`. `left_on_disk` are those of disk of
    an earlier run, until this one's is first measured; `disk_acted_at` is how much there was when that was last a
    violation, in bytes. `oom_at` is when OOM kills were last found that had not been
    before. `measured` is what evidence is made from. `run` is the run that was measured last, empty before any.
    """

    run: str = ""
    last: Usage | None = None
    cpu_rate: float | None = None
    cpu_above_since: float | None = None
    cpu_below_since: float | None = None
    active: frozenset[str] = frozenset()
    left_on_disk: frozenset[str] = frozenset()
    disk_acted_at: int = 0
    measured: tuple[tuple[bytes, Limits], ...] = ()
    oom_at: float | None = None

    @classmethod
    def from_start(cls, now: float) -> Window:
        """The window of an instance that starts now, so that its first measurement already counts."""
        return cls(last=Usage(at=now, cpu_seconds=0.0, working_set=0, pids=0))

    def during(self, run: str) -> Window:
        """The window of a measurement of this run."""
        if self.run == run:
            return self
        return replace(self.of_a_new_run() if self.run else self, run=run)

    def of_a_new_run(self) -> Window:
        """The window after a restart: what was violated is no longer, but for what was left on disk."""
        last = replace(self.last, cpu_seconds=0.0, oom_kills=0) if self.last else None
        left = self.left_on_disk | _marks_of(Resource.DISK, self.active)
        return Window(
            run=self.run, last=last, left_on_disk=left, disk_acted_at=self.disk_acted_at, measured=self.measured
        )

    def under(self, limits: Limits) -> Window:
        """The window under these limits: a violation of another limit is none of theirs."""
        before = self.measured[-1][1] if self.measured else limits
        if before is limits or before == limits:
            return self
        changed = [resource for resource in _MEASURED if before.of(resource) != limits.of(resource)]
        gone = frozenset(mark for each in changed for mark in _marks_of(each, self.active | self.left_on_disk))
        return replace(
            self,
            active=self.active - gone,
            left_on_disk=self.left_on_disk - gone,
            cpu_above_since=None if Resource.CPU in changed else self.cpu_above_since,
        )

    def measured_with(self, usage: Usage, rate: float | None, limits: Limits) -> tuple[tuple[bytes, Limits], ...]:
        """What evidence is made from, with one more measurement and its cpu rate in thousandths of a core."""
        maybe = (math.nan if value is None else value for value in (usage.pids, usage.disk, rate))
        numbers = _NUMBERS.pack(usage.at, usage.working_set, *maybe)
        return (*self.measured[1 - _KEPT_SAMPLES :], (numbers, limits))

    def evidence(self, resource: Resource) -> tuple[Sample, ...]:
        """The samples kept of one resource, oldest first."""
        if resource not in _MEASURED:
            return ()
        read = ((_NUMBERS.unpack(numbers), limits) for numbers, limits in self.measured)
        position = 1 + _MEASURED.index(resource)
        return tuple(
            Sample(numbers[0], numbers[position], limits.of(resource))
            for numbers, limits in read
            if not math.isnan(numbers[position])
        )


def _marks_of(resource: Resource, marks: frozenset[str]) -> frozenset[str]:
    return frozenset(mark for mark in marks if mark.startswith(f"{resource}/"))
