"""What a planner is given and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.model.cleanup import NO_CLEANUP, CleanupPolicy
from controller.model.hold import Hold
from controller.model.identity import Key
from controller.model.observed import Capabilities, Observed
from controller.model.operation import Operation
from controller.model.record import Intent, Record
from controller.model.spec import Desired
from controller.model.status import Phase


@dataclass(frozen=True, slots=True)
class View:
    """Everything that is known of one key at one moment; `now` is epoch seconds.

    `desired` None: no file declares it any more. `retained`: a document is known to exist but not what it says, so
    nothing may be touched. `observed` holds the instances of every runtime that answered;
    `unseen` names the runtimes that did not. `waiting_for` are dependencies that are not Ready, `dependents` those that
    are still up and go first on removal, `cycle` a dependency cycle spelt out.
    """

    instance: str
    key: Key
    desired: Desired | None
    record: Record
    observed: tuple[Observed, ...]
    capabilities: Mapping[str, Capabilities]
    now: float
    holds: tuple[Hold, ...] = ()
    intent: Intent | None = None
    unseen: frozenset[str] = frozenset()
    waiting_for: tuple[str, ...] = ()
    dependents: tuple[str, ...] = ()
    cycle: str = ""
    retained: bool = False
    cleanup: CleanupPolicy = NO_CLEANUP


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a plan makes of a sandbox, for its status. `degraded` is a reason and a message."""

    phase: Phase
    ready: bool
    reason: str
    message: str = ""
    suspended: bool = False
    finished: str = ""
    degraded: tuple[str, str] | None = None
    accepted: tuple[str, str] | None = None
    """A reason and a message where it is not accepted."""


@dataclass(frozen=True, slots=True)
class Notice:
    """An event that a plan gives rise to."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now. `record` is saved before the operations are executed, `after` once all of them succeeded.

    `requeue_at` is when to look again though nothing happens (epoch seconds). `ended` is the instance whose end the
    plan has just accounted for. `forget`: once the operations succeeded nothing of the key is left to remember.
    `consumed`: the view's intent is used up by it. `meanwhile` is what holds until its preparations have succeeded,
    where that is another record and verdict.
    """

    record: Record
    verdict: Verdict
    operations: tuple[Operation, ...] = ()
    after: Record | None = None
    requeue_at: float | None = None
    notices: tuple[Notice, ...] = ()
    ended: Observed | None = None
    forget: bool = False
    consumed: bool = False
    meanwhile: Plan | None = None
