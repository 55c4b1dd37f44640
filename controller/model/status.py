"""A sandbox's status, as it is stored and served."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from controller.model.conditions import Condition
from controller.model.hold import Hold
from controller.model.identity import Key
from controller.model.observed import ContractRow, Usage
from controller.model.record import Termination, Timings


class Phase(StrEnum):
    """Where a sandbox is in its life."""

    PENDING = "Pending"
    CREATING = "Creating"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    CRASH_LOOP = "CrashLoopBackOff"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    TERMINATING = "Terminating"


@dataclass(frozen=True, slots=True)
class SandboxStatus:
    """What is known of one sandbox. `isolation` is the one in force; times are epoch seconds."""

    observed_generation: int
    phase: Phase
    conditions: tuple[Condition, ...]
    isolation: str = ""
    container_id: str = ""
    path: str = ""
    pid: int | None = None
    restarts: int = 0
    started_at: float | None = None
    last_termination: Termination | None = None
    usage: Usage | None = None
    enforcement: tuple[ContractRow, ...] = ()
    holds: tuple[Hold, ...] = ()
    timings: Timings = field(default_factory=Timings)
    image: str = ""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """Something that happened to a sandbox. `type` is Normal or Warning; `count` collapses repeats since `first`."""

    key: Key
    type: str
    reason: str
    message: str
    at: float
    first: float = 0.0
    count: int = 1
    id: int = 0
