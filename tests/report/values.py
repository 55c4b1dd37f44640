"""Values to store, serve and render."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from controller.model.conditions import Condition, ConditionType
from controller.model.hold import Hold, HoldType
from controller.model.identity import Key, sandbox_key
from controller.model.observed import Assurance, ContractRow, Usage
from controller.model.record import Intent, Record, Sample, Termination, Timings
from controller.model.spec import (
    Desired,
    Enforcement,
    Filesystem,
    Isolation,
    Lifecycle,
    Limits,
    Network,
    PullPolicy,
    SandboxSpec,
)
from controller.model.status import EventRecord, Phase, SandboxStatus
from controller.report.protocol import SandboxView

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


DOCUMENT = {
    "metadata": {"name": "web", "namespace": "default", "labels": {"team": "research"}},
    "spec": {"image": "busybox", "command": ["sleep", "1"], "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}}},
}


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


def status(key: Key = WEB, measured: Usage | None = None) -> SandboxStatus:
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
        usage=measured,
        enforcement=(ContractRow("memory", Assurance.ENFORCED, "cgroup v1", "64Mi"),),
        holds=(Hold(key, HoldType.THROTTLED, "cpu above 95%", NOON, 3, 250),),
        timings=Timings(saved=NOON),
    )


def event(number: int = 0, at: float = NOON, key: Key = WEB) -> EventRecord:
    """One that differs by its number."""
    return EventRecord(key, "Warning", "BackOff", f"message {number}", at=at)


def desired(key: Key = WEB) -> Desired:
    """What a manifest wants."""
    spec = SandboxSpec(
        isolation=Isolation.CONTAINER,
        fallback=None,
        runtime_class=None,
        image="busybox",
        pull_policy=PullPolicy.IF_NOT_PRESENT,
        packages=(),
        command=("sleep", "1"),
        args=(),
        env=(),
        working_dir="/workspace",
        user="10001:10001",
        limits=Limits(memory=64 << 20, cpu=500, pids=128, disk=1 << 30, open_files=1024),
        enforcement=Enforcement(),
        network=Network(),
        filesystem=Filesystem(),
        lifecycle=Lifecycle(),
    )
    return Desired(key, spec, {}, "v1:bb", "v1:aa", DOCUMENT, "web.yaml:1")


def usage(at: float = NOON, cpu: float = 1.5, memory: int = 32 << 20, disk: int | None = 4096) -> Usage:
    """One measurement."""
    return Usage(at, cpu, memory, pids=3, disk=disk, disk_age=12.34 if disk is not None else None)


def view(key: Key = WEB, measured: Usage | None = None) -> SandboxView:
    """One sandbox as the daemon shows it."""
    return SandboxView(key, desired(key), record(), status(key, measured or usage()))
