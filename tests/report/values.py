"""Values to store, serve and render."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from controller.model.conditions import Condition, ConditionType
from controller.model.hold import Hold, HoldType
from controller.model.identity import Key, sandbox_key
from controller.model.observed import Assurance, ContractRow, Usage
from controller.model.record import Intent, Record, Sample, Termination, Timings
from controller.model.spec import Limits
from controller.model.status import EventRecord, Phase, SandboxStatus

NOON = 1_795_521_600.0  # 2026-11-24T12:00:00Z
WEB = sandbox_key("default", "web")


@dataclass
class HandClock:
    """A clock that only the test moves."""

    time: float = NOON

    def monotonic(self) -> float:
        return self.time

    def now(self) -> float:
        return self.time

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        self.time += timeout or 0.0
        return event.is_set()


def termination(number: int = 0) -> Termination:
    """One that differs by its number."""
    samples = (Sample(NOON, 64e6, 64e6), Sample(NOON + 2, 65e6, None))
    return Termination(f"cause {number}", 137, 9, True, NOON + number, samples, "last line\n")


def record(uid: str = "0b9c") -> Record:
    """A record with something in every field that is not plain."""
    return Record(
        uid=uid,
        generation=3,
        resolved_hash="v1:aa",
        accepted_at=NOON,
        document={
            "metadata": {"labels": {"team": "research"}},
            "spec": {"image": "busybox", "command": ["sleep", "1"]},
        },
        ending=Intent("restart", "asked", (Sample(NOON, 1.0, 2.0),)),
        last_termination=termination(),
        applied=Limits(memory=64 << 20, cpu=500),
        timings=Timings(saved=NOON, ready=NOON + 0.25),
    )


def status(key: Key = WEB, usage: Usage | None = None) -> SandboxStatus:
    """A status with something in every field that is not plain."""
    return SandboxStatus(
        observed_generation=3,
        phase=Phase.RUNNING,
        conditions=(
            Condition(ConditionType.READY, "True", "Started", "", NOON),
            Condition(ConditionType.LIMITS_ENFORCED, "False", "Unenforceable", "openFiles", NOON),
        ),
        isolation="container",
        started_at=NOON,
        last_termination=termination(),
        usage=usage,
        enforcement=(ContractRow("memory", Assurance.ENFORCED, "cgroup v1", "64Mi"),),
        holds=(Hold(key, HoldType.THROTTLED, "cpu above 95%", NOON, 3, 250),),
        timings=Timings(saved=NOON),
    )


def event(number: int = 0, at: float = NOON, key: Key = WEB) -> EventRecord:
    """One that differs by its number."""
    return EventRecord(key, "Warning", "BackOff", f"message {number}", at=at)
