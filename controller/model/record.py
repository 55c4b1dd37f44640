"""What is remembered of one key between passes, over restarts of the daemon. Kept in the state store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.model.skill import SkillFacts
from controller.model.spec import Limits


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement kept as evidence: epoch seconds, the resource's value and its limit in the resource's units."""

    at: float
    value: float
    limit: float | None


@dataclass(frozen=True, slots=True)
class Termination:
    """Why and how an instance ended. `cause` names the limit or who asked; `log_tail` is its last lines."""

    cause: str
    exit_code: int
    signal: int | None
    oom_killed: bool
    finished_at: float
    samples: tuple[Sample, ...] = ()
    log_tail: str = ""


@dataclass(frozen=True, slots=True)
class Intent:
    """A one-time request against the present instance: a restart asked for, or a kill by enforcement.

    `run` is the run that it is meant for, where it is meant for no other. `uid` and `document` are those of a workspace
    that is asked back.
    """

    verb: str
    cause: str
    samples: tuple[Sample, ...] = ()
    run: str = ""
    uid: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Replacement:
    """A replacement under way: the instance that makes room since then (epoch seconds), and goes on should it fail."""

    predecessor: str
    runtime: str
    since: float


@dataclass(frozen=True, slots=True)
class Timings:
    """A change traced from the saved file to the ready sandbox; epoch seconds."""

    saved: float | None = None
    seen: float | None = None
    planned: float | None = None
    created: float | None = None
    ready: float | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What the planner remembers of one key. Written by that key's worker alone.

    `runtime` is where an instance may be; `instance_id` is the one last put in force. `applied` are the spec's limits
    last put in force, and `throttled_to` the cpu that they were lowered to: a live value that differs from these is
    drift. `ending` is an end that we asked for and have not yet seen; `frozen` says that we paused it. `replacing` is
    set from a replacement's first operation until its predecessor is gone or goes on. `handled_exit` is the exit
    already counted (instance id and finish time). `failed_hash` is a spec that could not replace its predecessor, or
    can never run. `unprepared` is a spec that could not be prepared last, or not yet while what it should replace runs:
    that stands in for it. `attempt_since` is when this generation was first tried; `ready_once`: it has been Ready
    since.
    `reserved`: a restored workspace waits for its manifest. `restoring`: that of `uid` is yet to be brought back from
    the trash, instead of this other uid's empty one ("": of none). `erased`: expiry has deleted the workspace.
    `provisional`: made while a runtime that may have an instance of it could not be asked; it yields to that one's uid.
    `skill` is what `document`'s skill was.
    """

    uid: str
    generation: int
    resolved_hash: str
    accepted_at: float
    document: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""
    runtime: str = ""
    instance_id: str = ""
    restarts: int = 0
    crash_streak: int = 0
    restart_after: float = 0.0
    handled_exit: str = ""
    ending: Intent | None = None
    frozen: bool = False
    replacing: Replacement | None = None
    last_termination: Termination | None = None
    failed_hash: str = ""
    failure: str = ""
    failure_reason: str = ""
    unprepared: str = ""
    adopted: str = ""
    finished: str = ""
    attempt_since: float = 0.0
    ready_once: bool = False
    applied: Limits | None = None
    throttled_to: int | None = None
    reserved: bool = False
    restoring: str | None = None
    erased: bool = False
    provisional: bool = False
    timings: Timings = field(default_factory=Timings)
    skill: SkillFacts | None = None
