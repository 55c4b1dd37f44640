"""Sandboxes as rows: what `get` and `top` show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from controller.cli import human
from controller.cli.item import Item, epoch
from controller.cli.table import Table

# What moves all the time and so does not count as a change to a watcher.
_RESTLESS: Final = frozenset({"MEMORY", "CPU", "PIDS", "AGE"})


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns `get` shows."""

    namespaces: bool = False
    wide: bool = False

    def headers(self) -> list[str]:
        """The header line."""
        first = ["NAMESPACE", "NAME"] if self.namespaces else ["NAME"]
        usual = ["READY", "STATUS", "ISOLATION", "RESTARTS", "MEMORY", "CPU", "AGE"]
        wide = ["PIDS", "PID", "IMAGE", "GENERATION", "UID", "CONTAINER"] if self.wide else []
        return [*first, *usual, *wide, "REASON"]

    def row(self, item: Item, now: float) -> list[str]:
        """One sandbox."""
        namespace, name = item.target
        status, metadata = item.status, item.metadata
        cells = {
            "NAMESPACE": namespace,
            "NAME": name,
            "READY": str(item.ready),
            "STATUS": item.phase,
            "ISOLATION": str(status.get("isolation") or item.spec.get("isolation") or human.NONE),
            "RESTARTS": str(status.get("restarts", 0)),
            "MEMORY": _of(human.size(item.usage.get("workingSet")), human.size(item.limits.get("memory"))),
            "CPU": _of(human.cpu(item.usage.get("cpuMillis")), human.cpu(item.limits.get("cpu"))),
            "AGE": human.age(_since(item.created, now)),
            "PIDS": str(item.usage.get("pids", human.NONE)),
            "PID": str(status.get("pid", human.NONE)),
            "IMAGE": str(status.get("image") or human.NONE),
            "GENERATION": f"{status.get('observedGeneration', 0)}/{metadata.get('generation', 0)}",
            "UID": str(metadata.get("uid", human.NONE)),
            "CONTAINER": str(status.get("containerID") or human.NONE)[:12],
            "REASON": _reason(item),
        }
        return [cells[header] for header in self.headers()]

    def table(self, items: Sequence[Item], now: float) -> Table:
        """All of them."""
        return Table(self.headers(), [self.row(item, now) for item in items])

    def changed(self, before: Sequence[str], after: Sequence[str]) -> bool:
        """Whether two rows of one sandbox differ in more than usage and age."""
        pairs = zip(self.headers(), before, after, strict=True)
        return any(old != new for header, old, new in pairs if header not in _RESTLESS)


def top_table(items: Sequence[Item], namespaces: bool, now: float) -> Table:
    """Usage beside the limits."""
    first = ["NAMESPACE", "NAME"] if namespaces else ["NAME"]
    headers = [*first, "CPU", "CPU%", "MEMORY", "MEMORY%", "PIDS", "PIDS%", "DISK", "DISK%", "MEASURED"]
    return Table(headers, [_usage_row(item, namespaces, now) for item in items])


def _usage_row(item: Item, namespaces: bool, now: float) -> list[str]:
    usage = item.usage
    memory, cpu, pids, disk = (usage.get(name) for name in ("workingSet", "cpuMillis", "pids", "disk"))
    measured = _since(epoch(usage.get("at")), now)
    # Without a limit, cpu is told as a share of one core.
    cpu_limit = item.limits.get("cpu") or 1000
    return [
        *(item.target if namespaces else item.target[1:]),
        human.cpu(cpu),
        human.percent(cpu, cpu_limit),
        human.size(memory),
        human.percent(memory, item.limits.get("memory")),
        human.NONE if pids is None else str(pids),
        human.percent(pids, item.limits.get("pids")),
        human.size(disk),
        human.percent(disk, item.limits.get("disk")),
        human.NONE if measured is None else f"{human.age(measured)} ago",
    ]


def _reason(item: Item) -> str:
    """Why it is not as wanted, in a word; empty where all is well."""
    ready, degraded = item.condition("Ready"), item.condition("Degraded")
    if not item.ready:
        reason = str(ready.get("reason", ""))
        return "" if reason == item.phase else reason
    if degraded.get("status") == "True":
        return str(degraded.get("reason", ""))
    accepted = item.condition("Accepted")  # False: its last good manifest stays in force
    return str(accepted.get("reason", "")) if accepted.get("status") == "False" else ""


def _of(value: str, limit: str) -> str:
    return value if human.NONE in (value, limit) else f"{value}/{limit}"


def _since(moment: float | None, now: float) -> float | None:
    return None if moment is None else now - moment
