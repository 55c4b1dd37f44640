"""What a tick makes of a measurement: violations of limits, each once, and the release of a throttle. Pure.

A limit is exceeded when usage is over it (for memory also: when the kernel killed a process for it); passing
`warnAt` is a warning. A violation is over when usage is back below nine tenths of what it passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from controller.model.observed import Usage
from controller.model.quantity import format_cpu, format_duration, format_memory
from controller.model.record import Sample
from controller.model.spec import Action, Enforcement, Limits, Resource

_KEPT_SAMPLES: Final = 30
_CLEARED_BELOW: Final = 0.9
_THROTTLE_TO: Final = 0.5
_RELEASE_BELOW: Final = 0.8
_LEAST_CPU: Final = 10


@dataclass(frozen=True, slots=True)
class Violation:
    """One limit that was passed: `exceeded` False for a warning at `warnAt`."""

    resource: Resource
    action: Action
    exceeded: bool
    message: str
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """What is remembered of one instance between two ticks. `cpu_rate` is in thousandths of a core."""

    last: Usage | None = None
    cpu_rate: float | None = None
    cpu_above_since: float | None = None
    cpu_below_since: float | None = None
    active: frozenset[str] = frozenset()
    samples: tuple[tuple[Resource, Sample], ...] = field(default_factory=tuple)

    @classmethod
    def from_start(cls, now: float) -> Window:
        """The window of an instance that starts now, so that its first measurement already counts."""
        return cls(last=Usage(at=now, cpu_seconds=0.0, working_set=0, pids=0))

    def evidence(self, resource: Resource) -> tuple[Sample, ...]:
        """The samples kept of one resource, oldest first."""
        return tuple(sample for kind, sample in self.samples if kind is resource)


@dataclass(frozen=True, slots=True)
class Assessment:
    """The window after a measurement, the violations it found, and whether a throttle may end."""

    window: Window
    violations: tuple[Violation, ...]
    release_throttle: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """What is enforced on one instance: its spec's limits and enforcement, and the cpu that it is throttled to."""

    limits: Limits
    enforcement: Enforcement
    throttled_to: int | None = None


def assess(window: Window, usage: Usage, rules: Rules) -> Assessment:
    """One measurement against the rules."""
    rate = _cpu_rate(window.last, usage)
    levels = {
        Resource.MEMORY: (float(usage.working_set), rules.limits.memory),
        Resource.PIDS: (float(usage.pids), rules.limits.pids),
    }
    if usage.disk is not None:
        levels[Resource.DISK] = (float(usage.disk), rules.limits.disk)
    seen = _with_samples(_with_cpu(window, usage, rate, rules), usage, rate, levels, rules)
    found: list[Violation] = []
    active = set(seen.active)
    for violation, mark in _violations(window, seen, usage, rules, levels):
        if mark not in active:
            found.append(replace(violation, samples=seen.evidence(violation.resource)))
            active.add(mark)
    active -= set(_cleared(seen, rules, levels))
    release = rules.throttled_to is not None and _fell(seen, rules, usage.at)
    return Assessment(replace(seen, active=frozenset(active)), tuple(found), release)


def throttled_cpu(limit: int | None, rate: float) -> int:
    """What a throttle lowers cpu to, in thousandths of a core: half of the limit, or of what is used without one."""
    return max(_LEAST_CPU, int((limit if limit is not None else rate) * _THROTTLE_TO))


def _cpu_rate(last: Usage | None, usage: Usage) -> float | None:
    if last is None or usage.at <= last.at or usage.cpu_seconds < last.cpu_seconds:
        return None
    return (usage.cpu_seconds - last.cpu_seconds) / (usage.at - last.at) * 1000


def _with_cpu(window: Window, usage: Usage, rate: float | None, rules: Rules) -> Window:
    above, below = window.cpu_above_since, window.cpu_below_since
    if rate is not None:
        limit = rules.limits.cpu or 1000
        above = (above or usage.at) if rate >= limit * rules.enforcement.cpu.above else None
        fallen = rules.throttled_to is not None and rate < rules.throttled_to * _RELEASE_BELOW
        below = (below or usage.at) if fallen else None
    return replace(window, last=usage, cpu_rate=rate, cpu_above_since=above, cpu_below_since=below)


def _with_samples(
    window: Window,
    usage: Usage,
    rate: float | None,
    levels: dict[Resource, tuple[float, int | None]],
    rules: Rules,
) -> Window:
    fresh = [(resource, Sample(usage.at, value, limit)) for resource, (value, limit) in levels.items()]
    if rate is not None:
        fresh.append((Resource.CPU, Sample(usage.at, rate, rules.limits.cpu)))
    return replace(window, samples=(*window.samples, *fresh)[-_KEPT_SAMPLES * 4 :])


def _violations(
    before: Window, seen: Window, usage: Usage, rules: Rules, levels: dict[Resource, tuple[float, int | None]]
) -> Iterator[tuple[Violation, str]]:
    enforcement = rules.enforcement
    actions = {
        Resource.MEMORY: enforcement.memory,
        Resource.PIDS: enforcement.pids,
        Resource.DISK: enforcement.disk,
    }
    kills = usage.oom_kills - (before.last.oom_kills if before.last else usage.oom_kills)
    if kills > 0:
        # A rising count is a violation of its own each time: the mark names the count.
        limit_text = _shown(Resource.MEMORY, rules.limits.memory)
        text = f"memory: the kernel killed {kills} process{'es' * (kills > 1)} at the limit of {limit_text}"
        yield Violation(Resource.MEMORY, enforcement.memory, True, text), f"oom/{usage.oom_kills}"
    for resource, (value, limit) in levels.items():
        exceeded = limit is not None and _exceeds(resource, value, limit)
        if limit is None or not (exceeded or value >= limit * enforcement.warn_at):
            continue  # as nearly always: nothing is put into words
        text = f"{resource}: {_shown(resource, value)} of {_shown(resource, limit)}"
        if exceeded:
            yield Violation(resource, actions[resource], True, f"{text}, over the limit"), f"{resource}/over"
        else:
            percent = round(enforcement.warn_at * 100)
            yield Violation(resource, Action.WARN, False, f"{text}, past warnAt {percent}%"), f"{resource}/warn"
    if seen.cpu_above_since is not None and usage.at - seen.cpu_above_since >= enforcement.cpu.for_seconds:
        yield _cpu_violation(seen, rules), "cpu/over"


def _exceeds(resource: Resource, value: float, limit: int) -> bool:
    # The kernel stops a process count at the limit itself: being there is as far over as it can be seen.
    return value >= limit if resource is Resource.PIDS else value > limit


def _cpu_violation(seen: Window, rules: Rules) -> Violation:
    cpu = rules.enforcement.cpu
    limit = rules.limits.cpu or 1000
    text = (
        f"cpu: {format_cpu(round(seen.cpu_rate or 0))} of {format_cpu(limit)}, "
        f"above {round(cpu.above * 100)}% for {format_duration(cpu.for_seconds)}"
    )
    return Violation(Resource.CPU, cpu.action, True, text)


def _cleared(seen: Window, rules: Rules, levels: dict[Resource, tuple[float, int | None]]) -> Iterator[str]:
    for resource, (value, limit) in levels.items():
        if limit is None or value < limit * _CLEARED_BELOW:
            yield f"{resource}/over"
        if limit is None or value < limit * rules.enforcement.warn_at * _CLEARED_BELOW:
            yield f"{resource}/warn"
    if seen.cpu_above_since is None and rules.throttled_to is None:
        yield "cpu/over"


def _fell(seen: Window, rules: Rules, now: float) -> bool:
    return seen.cpu_below_since is not None and now - seen.cpu_below_since >= rules.enforcement.cpu.for_seconds


def _shown(resource: Resource, value: float | None) -> str:
    if value is None:
        return "none"
    if resource in (Resource.MEMORY, Resource.DISK):
        return _mebibytes(value)
    return str(round(value))


def _mebibytes(size: float) -> str:
    exact = format_memory(size)
    return exact if not exact.isdigit() else f"{size / (1 << 20):.1f}Mi"
