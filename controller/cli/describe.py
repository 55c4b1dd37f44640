"""All that is known of one sandbox, in sections."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.cli import human
from controller.cli.item import Item, epoch, mapping
from controller.cli.table import Table

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Section:
    """A title and what is under it: a table, or lines as they are."""

    title: str
    body: Table | Sequence[str]


def sections(item: Item, events: Sequence[Event], now: float) -> Iterator[Section]:
    """What `describe` prints, in order; empty sections are left out."""
    yield Section("", _facts(item, now))
    for section in (
        Section("Usage", _usage(item, now)),
        Section("Conditions", _conditions(item, now)),
        Section("Enforcement", _enforcement(item)),
        Section("Holds", _holds(item, now)),
        Section("Last termination", _termination(mapping(item.status, "lastTermination"), now)),
        Section("Timings", _timings(mapping(item.status, "timings"))),
        Section("Events", event_table(events, now)),
    ):
        if section.body.rows if isinstance(section.body, Table) else section.body:
            yield section


def event_table(events: Sequence[Event], now: float, named: bool = False) -> Table:
    """Events as rows, oldest first; `named`: with the sandbox that each is about."""
    rows = []
    for event in events:
        about = mapping(event, "involvedObject")
        who = [f"{about.get('namespace')}/{about.get('name')}"] if named else []
        count = int(event.get("count", 1))
        times = f" (x{count} over {_span(event)})" if count > 1 else ""
        seen = human.age(ago(event.get("lastTimestamp"), now))
        rows.append([seen, str(event["type"]), str(event["reason"]), *who, f"{event['message']}{times}"])
    return Table(["AGE", "TYPE", "REASON", *(["SANDBOX"] if named else []), "MESSAGE"], rows)


def ago(text: Any, now: float) -> float | None:
    """Seconds since an RFC 3339 time."""
    moment = epoch(text)
    return None if moment is None else now - moment


def _facts(item: Item, now: float) -> list[str]:
    metadata, status, spec = item.metadata, item.status, item.spec
    since = ago(item.condition("Ready").get("lastTransitionTime"), now)
    facts = {
        "Name": item.target.name,
        "Namespace": item.target.namespace,
        "Labels": _pairs(metadata.get("labels")),
        "Annotations": _pairs(metadata.get("annotations")),
        "UID": metadata.get("uid"),
        "Generation": _generation(item),
        "Declared in": status.get("origin") if item.declared else "no file any more",
        "Status": f"{item.phase}, {'ready' if item.ready else _unready(item)} for {human.age(since)}",
        "Isolation": _isolation(item),
        "Image": status.get("image") or (spec.get("image") if spec.get("isolation") == "container" else None),
        "Skill": _skill(mapping(status, "skill")),
        "Tools": ", ".join(mapping(status, "skill").get("tools", ())),
        "Command": json.dumps([*spec.get("command", ()), *spec.get("args", ())]) if spec.get("command") else None,
        "Container": status.get("containerID"),
        "Workspace": status.get("path"),
        "PID": status.get("pid"),
        "Restarts": f"{status.get('restarts', 0)} (restartPolicy {spec.get('restartPolicy', human.NONE)})",
        "Started": _moment(status.get("startedAt"), now),
    }
    width = max(map(len, facts)) + 3
    return [f"{f'{name}:':<{width}}{value}" for name, value in facts.items() if value not in (None, "")]


def _skill(skill: Mapping[str, Any]) -> str | None:
    if not skill:
        return None
    return f"{skill['name']} (digest {skill['digest'][:12]}): {skill.get('description', '')}"


def _generation(item: Item) -> str:
    wanted, in_force = item.metadata.get("generation", 0), item.status.get("observedGeneration", 0)
    return str(wanted) if wanted == in_force else f"{wanted} (in force: {in_force})"


def _unready(item: Item) -> str:
    reason = item.condition("Ready").get("reason")
    return f"not ready ({reason})" if reason else "not ready"


def _isolation(item: Item) -> str:
    wanted, in_force = item.spec.get("isolation"), item.status.get("isolation")
    if not in_force or wanted in (in_force, None):
        return str(in_force or wanted or human.NONE)
    return f"{in_force} (wanted: {wanted})"


def _usage(item: Item, now: float) -> Table:
    usage, last_hour = item.usage, mapping(item.usage, "lastHour")
    if not usage:
        return Table(["RESOURCE"], [])
    tell = {"memory": human.size, "cpu": human.cpu, "pids": _count, "disk": human.size}
    ages = {"disk": usage.get("diskAge")}
    measured = ago(usage.get("at"), now)
    rows = []
    for resource, field in (("memory", "workingSet"), ("cpu", "cpuMillis"), ("pids", "pids"), ("disk", "disk")):
        value, limit, show = usage.get(field), item.limits.get(resource), tell[resource]
        age = measured if measured is None else measured + (ages.get(resource) or 0)
        p95 = mapping(last_hour, resource).get("p95")
        row = [resource, show(value), show(limit), human.percent(value, limit), show(p95)]
        rows.append([*row, f"{human.age(age)} ago"])
    return Table(["RESOURCE", "USED", "LIMIT", "SHARE", "P95 (1H)", "MEASURED"], rows)


def _conditions(item: Item, now: float) -> Table:
    held = item.status.get("conditions") or []
    rows = [
        [
            str(condition["type"]),
            str(condition["status"]),
            human.age(ago(condition.get("lastTransitionTime"), now)),
            str(condition.get("reason", "")),
            str(condition.get("message", "")),
        ]
        for condition in held
    ]
    return Table(["TYPE", "STATUS", "FOR", "REASON", "MESSAGE"], rows)


def _enforcement(item: Item) -> Table:
    fields = ("limit", "value", "state", "mechanism", "reason")
    contract = item.status.get("enforcement") or []
    return Table(
        [field.upper() for field in fields], [[str(row.get(field) or "") for field in fields] for row in contract]
    )


def _holds(item: Item, now: float) -> Table:
    holds = item.status.get("holds") or []
    rows = [
        [str(hold["type"]), human.age(ago(hold.get("since"), now)), str(hold.get("release", "")), str(hold["cause"])]
        for hold in holds
    ]
    return Table(["TYPE", "FOR", "ENDS WITH", "CAUSE"], rows)


def _termination(last: Mapping[str, Any], now: float) -> list[str]:
    if not last:
        return []
    signal = f", signal {last['signal']}" if last.get("signal") is not None else ""
    oom = ", killed for memory" if last.get("oomKilled") else ""
    lines = [
        f"cause:   {last.get('cause')}",
        f"status:  exit {last.get('exitCode')}{signal}{oom}",
        f"ended:   {_moment(last.get('finishedAt'), now)}",
    ]
    samples = last.get("samples") or []
    if samples:
        told = (f"{_amount(sample['value'])} {human.age(ago(sample['at'], now))} ago" for sample in samples[-5:])
        lines.append(f"samples: {', '.join(told)} (limit {_amount(samples[-1].get('limit'))})")
    if tail := str(last.get("logTail") or "").splitlines():
        lines += ["output:", *(f"  {line.expandtabs()}" for line in tail)]
    return lines


def _timings(timings: Mapping[str, Any]) -> list[str]:
    stages = [(stage, epoch(timings.get(stage))) for stage in ("saved", "seen", "planned", "created", "ready")]
    reached = [(stage, moment) for stage, moment in stages if moment is not None]
    if not reached:
        return []
    first_stage, first = reached[0]
    steps = [f"{first_stage} {human.moment(first)}"]
    steps += [f"{stage} +{moment - first:.3f}s" for stage, moment in reached[1:]]
    return [" → ".join(steps)]


def _moment(text: Any, now: float) -> str | None:
    moment = epoch(text)
    return None if moment is None else f"{human.moment(moment)} ({human.age(now - moment)} ago)"


def _span(event: Event) -> str:
    first, last = epoch(event.get("firstTimestamp")), epoch(event.get("lastTimestamp"))
    return human.age(last - first) if first is not None and last is not None else human.NONE


def _pairs(pairs: Mapping[str, str] | None) -> str:
    return ", ".join(f"{name}={value}" for name, value in (pairs or {}).items())


def _count(value: float | None) -> str:
    return human.NONE if value is None else f"{value:.0f}"


def _amount(value: float | None) -> str:
    """A sample's value, whose resource is not kept: what is as large as memory is told as memory."""
    if value is None:
        return human.NONE
    return human.size(value) if value >= 1 << 20 else f"{value:g}"
