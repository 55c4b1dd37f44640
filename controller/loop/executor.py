"""Carries operations out. It decides nothing: one operation is one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import structlog

from controller.model.clock import Clock
from controller.model.errors import PreparingError, RuntimeFailure, SandkeeperError
from controller.model.identity import Key
from controller.model.operation import Operation, Verb
from controller.report.protocol import Recorder
from controller.runtime.protocol import Runtime, Workspaces

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Preparation:
    """One under way; `since` on the monotonic clock."""

    runtime: str
    spec_hash: str
    since: float


class Executor:
    """Executes operations on the runtimes and the workspaces; counts and logs each with its cause.

    `aside` is entered where an operation may do nothing but wait for long.
    """

    def __init__(
        self, runtimes: Mapping[str, Runtime], workspaces: Workspaces, recorder: Recorder, clock: Clock
    ) -> None:
        self._runtimes = runtimes
        self._workspaces = workspaces
        self._recorder = recorder
        self._clock = clock
        self._preparing: dict[Key, _Preparation] = {}
        self.aside: Callable[[], AbstractContextManager[None]] = nullcontext

    def execute(self, operations: Sequence[Operation], document: Mapping[str, Any]) -> str:
        """Carry the operations out in order; the id that a create among them returned, or "".

        `document` goes into the trash with a workspace. Raises the RuntimeFailure or StateError of the first operation
        that fails, which names it in `operation`; those after it are not tried.
        """
        created = ""
        for operation in operations:
            created = self._timed(operation, created, document) or created
        return created

    def forgo(self, key: Key) -> None:
        """Nothing is to be prepared for it any more."""
        begun = self._preparing.pop(key, None)
        if begun is not None:
            self._runtimes[begun.runtime].forgo(key)

    def _timed(self, operation: Operation, created: str, document: Mapping[str, Any]) -> str:
        began, result = self._began(operation), "success"
        try:
            return self._call(operation, created, document)
        except SandkeeperError as exc:
            result = exc.reason if isinstance(exc, RuntimeFailure) else "error"
            exc.operation = str(operation.verb)
            raise
        except Exception:
            result = "error"
            raise
        finally:
            if result == PreparingError.reason and operation.desired is not None:
                begun = _Preparation(operation.runtime, operation.desired.spec_hash, began)
                self._preparing[operation.key] = begun
            else:
                self._account(operation, result, self._clock.monotonic() - began)

    def _began(self, operation: Operation) -> float:
        """When it began: a preparation that is asked for again, when it was asked for first."""
        if operation.verb is Verb.PREPARE and operation.desired is not None:
            begun = self._preparing.get(operation.key)
            if begun is not None and begun.runtime != operation.runtime:
                self.forgo(operation.key)
            begun = self._preparing.pop(operation.key, None)
            if begun is not None and begun.spec_hash == operation.desired.spec_hash:
                return begun.since
        return self._clock.monotonic()

    def _account(self, operation: Operation, result: str, seconds: float) -> None:
        self._recorder.operated(operation.runtime, str(operation.verb), result, seconds)
        for field in operation.drifted if result == "success" else ():
            self._recorder.drifted(field)
        log.info(
            "operation",
            operation=str(operation.verb),
            cause=operation.cause,
            result=result,
            milliseconds=round(seconds * 1000, 1),
        )

    def _call(self, operation: Operation, created: str, document: Mapping[str, Any]) -> str:
        if operation.verb is Verb.TRASH:
            self._workspaces.trash(operation.uid, operation.key, document)
            return ""
        if operation.verb is Verb.ERASE:
            self._workspaces.erase(operation.uid)
            return ""
        if operation.verb is Verb.RESTORE:
            self._workspaces.restore(operation.uid, operation.instead_of)
            return ""
        runtime = self._runtimes[operation.runtime]
        if operation.verb in (Verb.PREPARE, Verb.CREATE):
            return _make(runtime, operation)
        with self.aside() if operation.verb is Verb.STOP else nullcontext():
            _change(runtime, operation, operation.target or created)
        return ""


def _make(runtime: Runtime, operation: Operation) -> str:
    if operation.desired is None:
        raise ValueError(f"{operation.verb} without a desired sandbox")
    if operation.verb is Verb.PREPARE:
        runtime.prepare(operation.desired)
        return ""
    if operation.owner is None:
        raise ValueError("create without an owner")
    return runtime.create(operation.desired, operation.owner)


def _change(runtime: Runtime, operation: Operation, target: str) -> None:
    match operation.verb:
        case Verb.START:
            runtime.start(target)
        case Verb.STOP:
            runtime.stop(target, operation.grace)
        case Verb.KILL:
            runtime.kill(target)
        case Verb.PAUSE:
            runtime.pause(target)
        case Verb.UNPAUSE:
            runtime.unpause(target)
        case Verb.REMOVE:
            runtime.remove(target)
        case Verb.UPDATE if operation.limits is not None:
            runtime.update(target, operation.limits)
        case _:
            raise ValueError(f"{operation} lacks what it needs")
