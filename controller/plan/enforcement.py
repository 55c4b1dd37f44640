"""What a tick makes of a measurement: violations of limits, each once, and the release of a throttle. Pure.

A limit is exceeded when usage is over it (for memory also: when the kernel killed a process for it); passing
`warnAt` is a warning. A violation is over when usage is back below nine tenths of what it passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from controller.model.observed import Usage
from controller.model.quantity import format_cpu, format_duration, format_memory
from controller.model.record import Sample
from controller.model.spec import Action, Enforcement, Limits, Resource
from controller.plan.window import Window

_CLEARED_BELOW: Final = 0.9
_THROTTLE_TO: Final = 0.5
_RELEASE_BELOW: Final = 0.8
_LEAST_CPU: Final = 10
_ONE_CORE: Final = 1000

Levels = dict[Resource, tuple[float, int | None]]
"""What is used of a resource, and its limit."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One limit that was passed: `exceeded` False for a warning at `warnAt`."""

    resource: Resource
    action: Action
    exceeded: bool
    message: str
    samples: tuple[Sample, ...] = ()


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
    """One measurement against the rules. `window` is that during the run that was measured."""
    if window.last is not None and usage.cpu_seconds < window.last.cpu_seconds:
        # Restarted from outside, which nobody has seen yet.
        window = window.of_a_new_run()
    window = window.under(rules.limits)
    rate = _cpu_rate(window.last, usage)
    levels = _levels(usage, rules.limits)
    seen = _measuring(window, usage, rate, rules)
    found = list(_oom_kills(window.last, usage, rules))
    if found:
        seen = replace(seen, oom_at=usage.at)
    active = set(window.active)
    passed = list(_passed(seen, usage, rules, levels))
    if window.left_on_disk and Resource.DISK in levels:
        active |= _still_on_disk(window, rules, passed)
        seen = replace(seen, left_on_disk=frozenset())
    if _grows_on(window, usage, rules):
        active.discard(f"{Resource.DISK}/over")
    for resource, kind in passed:
        mark = f"{resource}/{kind}"
        if mark not in active and not any(each.resource is resource for each in found):
            # Only here is anything put into words: most measurements pass nothing, or nothing new.
            found.append(_violation(seen, rules, levels, (resource, kind)))
            if resource is Resource.DISK and kind == "over":
                seen = replace(seen, disk_acted_at=usage.disk or 0)
        active |= {mark, f"{resource}/warn"}
    if active:
        active -= set(_cleared(seen, rules, levels))
    release = rules.throttled_to is not None and _fell(seen, rules, usage.at)
    violations = tuple(replace(each, samples=seen.evidence(each.resource)) for each in found)
    return Assessment(seen if active == seen.active else replace(seen, active=frozenset(active)), violations, release)


def throttled_cpu(limit: int | None, rate: float) -> int:
    """What a throttle lowers cpu to, in thousandths of a core: half of the limit, or of what is used without one."""
    return max(_LEAST_CPU, int((limit if limit is not None else rate) * _THROTTLE_TO))


def _still_on_disk(window: Window, rules: Rules, passed: list[tuple[Resource, str]]) -> frozenset[str]:
    """Those of an earlier run's marks that hold in this one too. One that was stopped or paused for its disk runs only
    because somebody let it go on: if it is over the limit, it is so anew."""
    kinds = {kind for resource, kind in passed if resource is Resource.DISK}
    held = {"warn"} if kinds else set()
    if "over" in kinds and rules.enforcement.disk in (Action.WARN, Action.KILL):
        held.add("over")
    return window.left_on_disk & {f"{Resource.DISK}/{kind}" for kind in held}


def _grows_on(window: Window, usage: Usage, rules: Rules) -> bool:
    """Whether a disk that a kill could not free has grown by a tenth of its limit since: that is a new violation."""
    limit = rules.limits.disk
    if rules.enforcement.disk is not Action.KILL or usage.disk is None or limit is None:
        return False
    return usage.disk > window.disk_acted_at + limit * (1 - _CLEARED_BELOW)


def _cpu_rate(last: Usage | None, usage: Usage) -> float | None:
    if last is None or usage.at <= last.at:
        return None
    return (usage.cpu_seconds - last.cpu_seconds) / (usage.at - last.at) * 1000


def _levels(usage: Usage, limits: Limits) -> Levels:
    levels: Levels = {Resource.MEMORY: (float(usage.working_set), limits.memory)}
    if usage.pids is not None:
        levels[Resource.PIDS] = (float(usage.pids), limits.pids)
    if usage.disk is not None:
        levels[Resource.DISK] = (float(usage.disk), limits.disk)
    return levels


def _measuring(window: Window, usage: Usage, rate: float | None, rules: Rules) -> Window:
    """The window with this measurement. It is made in one go: a tick does this for every sandbox."""
    above, below = (window.cpu_above_since, window.cpu_below_since)
    if rate is not None:
        above, below = _cpu_times(window, usage.at, rate, rules)
    return replace(
        window,
        last=usage,
        cpu_rate=rate,
        cpu_above_since=above,
        cpu_below_since=below,
        measured=window.measured_with(usage, rate, rules.limits),
    )


def _cpu_times(window: Window, now: float, rate: float, rules: Rules) -> tuple[float | None, float | None]:
    """Since when cpu is above what is allowed, and since when below what a throttle leaves."""
    limit = rules.limits.cpu or _ONE_CORE
    is_above = rate >= limit * rules.enforcement.cpu.above
    is_below = rules.throttled_to is not None and rate < rules.throttled_to * _RELEASE_BELOW
    above = _since(window.cpu_above_since, now) if is_above else None
    return above, _since(window.cpu_below_since, now) if is_below else None


def _since(since: float | None, now: float) -> float:
    # A clock that was set back begins the time anew.
    return now if since is None else min(since, now)


def _oom_kills(last: Usage | None, usage: Usage, rules: Rules) -> Iterator[Violation]:
    """Processes that the kernel has killed since the last measurement: a violation of its own each time."""
    kills = 0 if last is None else usage.oom_kills - last.oom_kills
    if kills > 0:
        limit = _shown(Resource.MEMORY, rules.limits.memory)
        text = f"memory: the kernel killed {kills} process{'es' * (kills > 1)} at the limit of {limit}"
        yield Violation(Resource.MEMORY, rules.enforcement.memory, True, text)


def _passed(seen: Window, usage: Usage, rules: Rules, levels: Levels) -> Iterator[tuple[Resource, str]]:
    """The resources over their limit ("over") or past warnAt ("warn")."""
    for resource, (value, limit) in levels.items():
        if limit is None:
            continue
        if _exceeds(resource, value, limit):
            yield resource, "over"
        elif value >= limit * rules.enforcement.warn_at:
            yield resource, "warn"
    if seen.cpu_above_since is not None and usage.at - seen.cpu_above_since >= rules.enforcement.cpu.for_seconds:
        yield Resource.CPU, "over"


def _violation(seen: Window, rules: Rules, levels: Levels, passed: tuple[Resource, str]) -> Violation:
    resource, kind = passed
    if resource is Resource.CPU:
        return _cpu_violation(seen, rules)
    enforcement = rules.enforcement
    value, limit = levels[resource]
    text = f"{resource}: {_shown(resource, value)} of {_shown(resource, limit)}"
    if kind == "warn":
        percent = round(enforcement.warn_at * 100)
        return Violation(resource, Action.WARN, False, f"{text}, past warnAt {percent}%")
    actions = {
        Resource.MEMORY: enforcement.memory,
        Resource.PIDS: enforcement.pids,
        Resource.DISK: enforcement.disk,
    }
    return Violation(resource, actions[resource], True, f"{text}, over the limit")


def _exceeds(resource: Resource, value: float, limit: int) -> bool:
    # The kernel stops a process count at the limit itself: being there is as far over as it can be seen.
    return value >= limit if resource is Resource.PIDS else value > limit


def _cpu_violation(seen: Window, rules: Rules) -> Violation:
    cpu = rules.enforcement.cpu
    limit = rules.limits.cpu or _ONE_CORE
    text = (
        f"cpu: {format_cpu(round(seen.cpu_rate or 0))} of {format_cpu(limit)}, "
        f"above {round(cpu.above * 100)}% for {format_duration(cpu.for_seconds)}"
    )
    return Violation(Resource.CPU, cpu.action, True, text)


def _cleared(seen: Window, rules: Rules, levels: Levels) -> Iterator[str]:
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
