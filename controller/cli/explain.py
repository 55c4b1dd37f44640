"""Why a sandbox is as it is, and what would happen next, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from controller.cli import human
from controller.cli.describe import ago
from controller.cli.item import Item, mapping
from controller.model.hold import Release

# A condition with this status needs no word.
_AS_WISHED = {"Accepted": "True", "Ready": "True", "Degraded": "False", "Finished": "False", "Suspended": "False"}


def sentences(item: Item, plan: Sequence[str], now: float) -> Iterator[str]:
    """One statement each: the state, what makes it so, what is not guaranteed, and the next step."""
    yield _state(item, now)
    yield from (_hold(item, hold, now) for hold in item.status.get("holds") or [])
    yield from _conditions(item, now)
    yield from _termination(item, now)
    yield from _contract(item)
    yield from _next(item, plan)


def _state(item: Item, now: float) -> str:
    readiness = "ready" if item.ready else "not ready"
    mode = item.spec.get("operatingMode", "Running")
    wanted = f"its manifest wants it {mode}" if item.declared else "no file declares it any more"
    since = _for(item.condition("Ready").get("lastTransitionTime"), now)
    return f"{item.target} is {item.phase}, {readiness}{since}; {wanted}."


def _hold(item: Item, hold: Mapping[str, Any], now: float) -> str:
    command = f"'sandkeeper resume {item.target}'"
    ways = {
        Release.RESUME: f"with {command}",
        Release.EDIT_OR_RESUME: f"with an edit of its manifest, or with {command}",
        Release.HYSTERESIS: "by itself, when usage falls",
    }
    way = ways[Release(hold["release"])]
    return f"It is held {hold['type']}{_for(hold.get('since'), now)}: {hold['cause']}. That ends {way}."


def _conditions(item: Item, now: float) -> Iterator[str]:
    told = {hold["cause"] for hold in item.status.get("holds") or []}
    for condition in item.status.get("conditions") or []:
        wished = _AS_WISHED.get(str(condition["type"]))
        if wished is None or condition["status"] == wished or condition.get("message") in told:
            continue
        message = f": {condition['message']}" if condition.get("message") else ""
        since = _for(condition.get("lastTransitionTime"), now)
        yield f"{condition['type']} is {condition['status']}{since} ({condition['reason']}){message}."


def _termination(item: Item, now: float) -> Iterator[str]:
    last = mapping(item.status, "lastTermination")
    if not last:
        return
    oom = ", killed for memory" if last.get("oomKilled") else ""
    when = human.age(ago(last.get("finishedAt"), now))
    yield f"It last ended {when} ago with exit {last.get('exitCode')}{oom}: {last.get('cause')}."
    yield f"Restarts so far: {item.status.get('restarts', 0)}, under restartPolicy {item.spec.get('restartPolicy')}."


def _contract(item: Item) -> Iterator[str]:
    contract = item.status.get("enforcement") or []
    weak = [row for row in contract if row["state"] != "Enforced"]
    for row in weak:
        reason = f": {row['reason']}" if row.get("reason") else ""
        mechanism = f" (by {row['mechanism']})" if row.get("mechanism") else ""
        yield f"Its {row['limit']} is only {row['state']}{mechanism}{reason}."
    if contract and not weak:
        yield f"Every limit is enforced: {', '.join(row['limit'] for row in contract)}."


def _next(item: Item, plan: Sequence[str]) -> Iterator[str]:
    own = [line for line in plan if f" {item.target}:" in line]
    yield from (f"Next: {line}." for line in own)
    if not own:
        yield "Next: nothing; what is there is what is wanted." if item.ready else "Next: nothing, while that lasts."


def _for(since: Any, now: float) -> str:
    seconds = ago(since, now)
    return "" if seconds is None else f" for {human.age(seconds)}"
