"""Sandboxes for a daemon to serve."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final

from controller.model.conditions import Condition, ConditionType
from controller.model.hold import Hold, HoldType
from controller.model.identity import Key, sandbox_key
from controller.model.observed import Assurance, ContractRow, Usage
from controller.model.record import Record, Sample, Termination, Timings
from controller.model.spec import Desired
from controller.model.status import EventRecord, Phase, SandboxStatus
from controller.report.protocol import SandboxView
from tests.report import values

MIB: Final = 1 << 20
HOUR: Final = 3600.0
UID: Final = "6f0a3c52-8f43-4b7e-9d0e-0d9a4f0c2b11"
CONTAINER: Final = "4c1f0e9d2b7a6c5f4e3d2c1b0a9f8e7d"


def sandbox(name: str, namespace: str = "default", **changes: Any) -> SandboxView:
    """One that has been running and ready for five hours, unless the changes of its status say otherwise."""
    key, now = sandbox_key(namespace, name), time.time()
    began = now - 5 * HOUR
    status = SandboxStatus(
        observed_generation=3,
        phase=Phase.RUNNING,
        conditions=(
            Condition(ConditionType.ACCEPTED, "True", "Accepted", "", began),
            Condition(ConditionType.READY, "True", "Alive", "", began),
            Condition(ConditionType.DEGRADED, "False", "AsWanted", "", began),
        ),
        isolation="container",
        container_id=CONTAINER,
        path="/var/lib/sandkeeper/workspaces/" + UID,
        pid=4711,
        started_at=began,
        usage=Usage(at=now, cpu_seconds=12.5, working_set=34 * MIB, pids=3, disk=2 * MIB, disk_age=8.0),
        enforcement=(
            ContractRow("memory", Assurance.ENFORCED, "cgroup v1", "64Mi"),
            ContractRow("disk", Assurance.MEASURED, "walk", "1Gi", "overlay2 has no quota here"),
        ),
        timings=Timings(began, began + 0.012, began + 0.015, began + 0.24, began + 1.3),
        image="busybox",
    )
    return SandboxView(key, wanted(key), record(began), replace(status, **changes))


def wanted(key: Key) -> Desired:
    """What its manifest wants."""
    metadata = {"name": key.name, "namespace": key.namespace, "labels": {"team": "research"}}
    desired = values.desired(key)
    spec = {
        "isolation": "container",
        "image": "busybox",
        "command": ["sleep", "1d"],
        "args": [],
        "operatingMode": "Running",
        "restartPolicy": "Always",
        "resources": {"limits": {"memory": "64Mi", "cpu": "500m", "pids": 128, "disk": "1Gi", "openFiles": 1024}},
    }
    return replace(desired, document={"metadata": metadata, "spec": spec}, origin=f"{key.name}.yaml:1")


def record(accepted_at: float) -> Record:
    """What is remembered of it."""
    return Record(uid=UID, generation=3, resolved_hash="v1:aa", accepted_at=accepted_at)


def condition(kind: ConditionType, status: str, reason: str, message: str = "") -> Condition:
    """A condition that has been so for five hours."""
    return Condition(kind, "True" if status == "True" else "False", reason, message, time.time() - 5 * HOUR)


def stopped(name: str) -> SandboxView:
    """One that its memory limit stopped."""
    now = time.time()
    key = sandbox_key("default", name)
    samples = (Sample(now - 5 * HOUR, 60.0 * MIB, 64.0 * MIB), Sample(now - 5 * HOUR, 64.0 * MIB, 64.0 * MIB))
    return sandbox(
        name,
        phase=Phase.FAILED,
        conditions=(condition(ConditionType.READY, "False", "LimitExceeded", "memory went past 64Mi"),),
        usage=None,
        enforcement=(),
        restarts=2,
        holds=(Hold(key, HoldType.STOPPED, "memory went past 64Mi", now - 5 * HOUR, 3),),
        last_termination=Termination("memory limit", 137, 9, True, now - 5 * HOUR, samples, "allocating\nKilled\n"),
    )


def event(number: int, name: str = "web", message: str = "created", count: int = 1) -> EventRecord:
    """Something that happened half a minute ago, for the first time two minutes before."""
    key, at = sandbox_key("default", name), time.time() - 1800
    return EventRecord(key, "Normal", "Created", message, at=at, first=at - 120, count=count, id=number)
