"""The series of the sandboxes, as text from one snapshot of views: a sandbox that is gone leaves none behind.

Text is twenty times faster than a Collector of prometheus_client, which holds the interpreter for every line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from controller.model.identity import Key
from controller.model.observed import Usage
from controller.model.spec import Action, Enforcement, Limits, Resource
from controller.report.protocol import SandboxView
from controller.report.render import limits_of

Violations = Mapping[Key, Mapping[tuple[str, str], int]]
"""How often a limit of a sandbox was violated, by (resource, action)."""

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class _Shown:
    view: SandboxView
    limits: Limits
    labels: str


@dataclass(frozen=True, slots=True)
class _Family:
    name: str
    type: str
    help: str
    value: Callable[[_Shown], float | None]


def render_sandboxes(views: Sequence[SandboxView], violations: Violations) -> str:
    """The text exposition format (version 0.0.4) of every family that has the labels `namespace` and `sandbox`."""
    shown = [_Shown(view, limits_of(view), _identity(view.key)) for view in views]
    lines: list[str] = []
    for family in _FAMILIES:
        lines += _head(family.name, family.type, family.help)
        lines += [f"{family.name}{{{one.labels}}} {value}" for one in shown if (value := family.value(one)) is not None]
    lines += _head("sandbox_info", "gauge", "What a sandbox is made from; always 1.")
    lines += map(_info, shown)
    lines += _head("sandbox_status_phase", "gauge", "The phase that a sandbox is in; always 1.")
    lines += [f'sandbox_status_phase{{{one.labels},phase="{one.view.status.phase}"}} 1' for one in shown]
    lines += _head("sandbox_status_condition", "gauge", "1 where the condition's status is True, else 0.")
    lines += [line for one in shown for line in _conditions(one)]
    lines += _head("sandbox_limit_violations_total", "counter", "Limits found violated, by the action taken.")
    lines += [line for one in shown for line in _violations(one, violations.get(one.view.key, {}))]
    return "\n".join([*lines, ""])


def _head(name: str, type_: str, help_: str) -> tuple[str, str]:
    return f"# HELP {name} {help_}", f"# TYPE {name} {type_}"


def _identity(key: Key) -> str:
    return f'namespace="{_escape(key.namespace)}",sandbox="{_escape(key.name)}"'


def _info(one: _Shown) -> str:
    status, record = one.view.status, one.view.record
    about = (
        f'isolation="{_escape(status.isolation)}",runtime="{_escape(record.runtime)}",image="{_escape(status.image)}"'
    )
    return f"sandbox_info{{{one.labels},{about}}} 1"


def _conditions(one: _Shown) -> Iterator[str]:
    for condition in one.view.status.conditions:
        value = int(condition.status == "True")
        yield f'sandbox_status_condition{{{one.labels},condition="{condition.type}"}} {value}'


def _violations(one: _Shown, counted: Mapping[tuple[str, str], int]) -> Iterator[str]:
    desired = one.view.desired
    expected = _possible(desired.spec.enforcement) if desired is not None else {}
    for (resource, action), count in (expected | dict(counted)).items():
        labels = f'{one.labels},resource="{_escape(resource)}",action="{_escape(action)}"'
        yield f"sandbox_limit_violations_total{{{labels}}} {count}"


def _possible(enforcement: Enforcement) -> dict[tuple[str, str], int]:
    """What this sandbox's limits can lead to, at 0, so that the first violation counts as an increase."""
    actions = {
        Resource.MEMORY: (Action.WARN, enforcement.memory),
        Resource.CPU: (enforcement.cpu.action,),
        Resource.PIDS: (Action.WARN, enforcement.pids),
        Resource.DISK: (Action.WARN, enforcement.disk),
    }
    return {(str(resource), str(action)): 0 for resource, taken in actions.items() for action in taken}


def _escape(value: str) -> str:
    return value.translate(_ESCAPES)


def _measured(read: Callable[[Usage], float | None]) -> Callable[[_Shown], float | None]:
    return lambda one: None if one.view.status.usage is None else read(one.view.status.usage)


def _cores(one: _Shown) -> float | None:
    return None if one.limits.cpu is None else one.limits.cpu / 1000


_FAMILIES: Final = (
    _Family(
        "sandbox_cpu_usage_seconds_total",
        "counter",
        "CPU time used since the present instance's start.",
        _measured(lambda usage: usage.cpu_seconds),
    ),
    _Family("sandbox_cpu_limit_cores", "gauge", "CPU limit in force.", _cores),
    _Family(
        "sandbox_memory_working_set_bytes",
        "gauge",
        "Memory in use, less inactive file cache.",
        _measured(lambda usage: usage.working_set),
    ),
    _Family("sandbox_memory_limit_bytes", "gauge", "Memory limit in force.", lambda one: one.limits.memory),
    _Family(
        "sandbox_oom_kills_total",
        "counter",
        "Processes that the kernel killed for memory since the present instance's start.",
        _measured(lambda usage: usage.oom_kills),
    ),
    _Family("sandbox_pids", "gauge", "Processes and threads.", _measured(lambda usage: usage.pids)),
    _Family("sandbox_pids_limit", "gauge", "Limit of processes and threads in force.", lambda one: one.limits.pids),
    _Family(
        "sandbox_disk_usage_bytes",
        "gauge",
        "Workspace and writable layer, as last walked.",
        _measured(lambda usage: usage.disk),
    ),
    _Family("sandbox_disk_limit_bytes", "gauge", "Disk limit wanted.", lambda one: one.limits.disk),
    _Family(
        "sandbox_restarts_total", "counter", "Restarts after an end of its own.", lambda one: one.view.status.restarts
    ),
    _Family(
        "sandbox_start_time_seconds",
        "gauge",
        "Start of the present instance since the unix epoch.",
        lambda one: one.view.status.started_at,
    ),
    _Family(
        "sandbox_created_timestamp_seconds",
        "gauge",
        "When the sandbox was first accepted, since the unix epoch.",
        lambda one: one.view.record.accepted_at,
    ),
)
