"""From a plan's verdict and what is observed to the status that people read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from controller.model.conditions import Condition, ConditionStatus, ConditionType, merge_conditions
from controller.model.manifest import Fault
from controller.model.observed import Assurance, ContractRow, InstanceState, Observed, Usage
from controller.model.record import Record
from controller.model.spec import Isolation
from controller.model.status import Phase, SandboxStatus
from controller.plan.cast import RUNTIME_OF, UP
from controller.plan.reach import is_away
from controller.plan.view import Verdict, View

_INSTANCE: Final = ("isolation", "container_id", "started_at", "image")


@dataclass(frozen=True, slots=True)
class Known:
    """What the loop knows beside the view: the last status, measurements, the contract, and the manifest's state.

    `stale` is the fault for which the last good version of the manifest is served. `failure` is the reason and message
    of the operation that failed last, until one succeeds.
    """

    previous: SandboxStatus | None = None
    usage: Usage | None = None
    contract: tuple[ContractRow, ...] = field(default_factory=tuple)
    stale: Fault | None = None
    failure: tuple[str, str] | None = None
    workspace: str = ""


def status_of(view: View, record: Record, verdict: Verdict, known: Known) -> SandboxStatus:
    """The status. Transition times move only when a condition flips."""
    acting = _acting(view.observed)
    conditions = tuple(_conditions(verdict, known, record))
    previous = known.previous.conditions if known.previous else ()
    status = SandboxStatus(
        observed_generation=record.generation,
        phase=_phase(verdict, known, acting),
        conditions=merge_conditions(previous, conditions, view.now),
        path=known.workspace,
        restarts=record.restarts,
        last_termination=record.last_termination,
        holds=view.holds,
        timings=record.timings,
    )
    if acting is not None:
        return replace(status, usage=known.usage, enforcement=known.contract, pid=acting.pid, **_instance(acting))
    if known.previous is not None and record.runtime and is_away(view, record.runtime):
        # What cannot be seen now has not become another.
        return replace(status, **{name: getattr(known.previous, name) for name in _INSTANCE})
    return status


def not_ready(status: SandboxStatus, reason: str, message: str, now: float) -> SandboxStatus:
    """The same status, no longer Ready."""
    ready = Condition(ConditionType.READY, "False", reason, message)
    conditions = tuple(ready if each.type is ConditionType.READY else each for each in status.conditions)
    return replace(status, conditions=merge_conditions(status.conditions, conditions, now))


def _acting(observed: Sequence[Observed]) -> Observed | None:
    return max(
        observed,
        key=lambda seen: (seen.state is InstanceState.RUNNING, seen.state in UP, seen.created_at),
        default=None,
    )


def _instance(acting: Observed) -> dict[str, Any]:
    is_container = acting.runtime == RUNTIME_OF[Isolation.CONTAINER]
    return {
        "isolation": str(Isolation.CONTAINER if is_container else Isolation.DIRECTORY),
        "container_id": acting.id if is_container else "",
        "started_at": acting.started_at,
        "image": str(acting.template.get("image", "")),
    }


def _phase(verdict: Verdict, known: Known, acting: Observed | None) -> Phase:
    """Creating that failed is Pending, or still Running where what it should replace runs."""
    if known.failure is None or verdict.phase is not Phase.CREATING:
        return verdict.phase
    is_running = acting is not None and acting.state is InstanceState.RUNNING
    return Phase.RUNNING if is_running else Phase.PENDING


def _conditions(verdict: Verdict, known: Known, record: Record) -> Iterator[Condition]:
    yield _accepted(verdict, known, record)
    if known.failure is not None and not verdict.ready and verdict.phase is not Phase.FAILED:
        yield Condition(ConditionType.READY, "False", *known.failure)
    else:
        yield Condition(ConditionType.READY, _truth(verdict.ready), verdict.reason, verdict.message)
    if verdict.suspended:
        yield Condition(ConditionType.SUSPENDED, "True", verdict.reason, verdict.message)
    else:
        yield Condition(ConditionType.SUSPENDED, "False", "NotSuspended")
    if verdict.finished:
        yield Condition(ConditionType.FINISHED, "True", verdict.finished, verdict.message)
    else:
        yield Condition(ConditionType.FINISHED, "False", "NotFinished")
    degraded = verdict.degraded or known.failure
    if degraded:
        yield Condition(ConditionType.DEGRADED, "True", *degraded)
    else:
        yield Condition(ConditionType.DEGRADED, "False", "AsWanted")
    yield _limits_enforced(known.contract)


def _accepted(verdict: Verdict, known: Known, record: Record) -> Condition:
    if verdict.accepted:
        return Condition(ConditionType.ACCEPTED, "False", *verdict.accepted)
    if known.stale:
        message = f"{known.stale}; generation {record.generation}, the last good one, stays in force"
        return Condition(ConditionType.ACCEPTED, "False", "InvalidManifest", message)
    return Condition(ConditionType.ACCEPTED, "True", "Accepted")


def _limits_enforced(contract: Sequence[ContractRow]) -> Condition:
    if not contract:
        return Condition(ConditionType.LIMITS_ENFORCED, "Unknown", "NotRunning")
    weak = [row for row in contract if row.state is not Assurance.ENFORCED]
    if not weak:
        return Condition(ConditionType.LIMITS_ENFORCED, "True", "AllEnforced")
    message = ", ".join(f"{row.limit} is {row.state}" for row in weak)
    if any(row.state is Assurance.UNENFORCEABLE for row in weak):
        return Condition(ConditionType.LIMITS_ENFORCED, "False", "SomeUnenforceable", message)
    return Condition(ConditionType.LIMITS_ENFORCED, "True", "SomeMeasured", message)


def _truth(value: bool) -> ConditionStatus:
    return "True" if value else "False"
