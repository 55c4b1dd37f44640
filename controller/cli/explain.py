"""Why a sandbox is as it is, and what would happen next, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from controller.cli import human
from controller.cli.describe import ago
from controller.cli.item import Item, mapping

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
    release = str(hold.get("release", ""))
    way_out = f": sandkeeper resume {item.target}" if "resume" in release else ""
    since = _for(hold.get("since"), now)
    return f"It is held {hold['type']}{since}, because: {hold['cause']}. That ends with {release}{way_out}."


def _conditions(item: Item, now: float) -> Iterator[str]:
    for condition in item.status.get("conditions") or []:
        wished = _AS_WISHED.get(str(condition["type"]))
        if wished is None or condition["status"] == wished:
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
        yield "Nothing is to be done: it is as wanted, or waits for something above."


def _for(since: Any, now: float) -> str:
    seconds = ago(since, now)
    return "" if seconds is None else f" for {human.age(seconds)}"
