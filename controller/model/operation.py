"""Operations: one call on a runtime each, printed as one line with its cause."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.model.identity import Key, Owner
from controller.model.spec import Desired, Limits


class Verb(StrEnum):
    """What an operation does; each is one method of a runtime, or of the workspaces."""

    PREPARE = "prepare"
    CREATE = "create"
    START = "start"
    STOP = "stop"
    KILL = "kill"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    UPDATE = "update"
    REMOVE = "remove"
    TRASH = "trash"
    ERASE = "erase"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. Which of the optional fields are set follows from the verb:

    prepare: desired · create: desired, owner · start, kill, pause, unpause, remove: target ·
    stop: target, grace (seconds) · update: target, limits · trash, erase: uid (the workspace's) ·
    restore: uid, instead_of (the uid of the empty workspace that goes for it, if any).
    `drifted` names the fields that were changed from outside, where drift is the cause: for the drift counter.
    """

    verb: Verb
    key: Key
    runtime: str
    cause: str
    target: str = ""
    desired: Desired | None = None
    owner: Owner | None = None
    limits: Limits | None = None
    grace: float = 0.0
    uid: str = ""
    instead_of: str = ""
    drifted: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.verb} {self.key}: {self.cause}"
