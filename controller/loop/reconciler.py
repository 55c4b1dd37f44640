"""One pass over one key: look, plan, carry out, look again, until nothing is left to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import structlog

from controller.model.clock import Clock
from controller.model.errors import (
    ConflictError,
    DiskFullError,
    PreparingError,
    RuntimeFailure,
    SandkeeperError,
    StateError,
)
from controller.model.identity import Key
from controller.model.observed import ContractRow, Observed
from controller.model.operation import Operation, Verb
from controller.model.record import Record
from controller.model.spec import Action, Desired, Resource
from controller.plan.acceptance import released_by_edit
from controller.plan.dependencies import dependents_of
from controller.plan.exits import RESTART
from controller.plan.failure import after_failure
from controller.plan.sandbox import plan_sandbox
from controller.plan.status import Known, not_ready, status_of
from controller.plan.target import LIMIT_EXCEEDED
from controller.plan.view import Plan, View
from controller.report.protocol import Recorder
from controller.runtime.protocol import Runtime, Workspaces

from .evidence import Evidence
from .executor import Executor
from .holding import Holds
from .journal import Journal
from .outlook import Outlook, dependencies_in
from .world import Entry, World

log = structlog.get_logger(__name__)

# A healthy key settles in three or four; one that has not by then is fighting somebody and waits its backoff.
_MOST_BATCHES: Final = 12
# The runtime wakes a key when its preparation has ended; this is for a wake that was lost.
_PREPARING_SECONDS: Final = 15.0


class Result(StrEnum):
    """How a pass ended."""

    SUCCESS = "success"
    REQUEUE = "requeue"
    PENDING = "pending"
    RETRY = "retry"
    TERMINAL = "terminal"
    PANIC = "panic"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a pass, and in how many seconds to look again though nothing happens."""

    result: Result
    requeue_after: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What a reconciler works with."""

    world: World
    outlook: Outlook
    executor: Executor
    journal: Journal
    holds: Holds
    evidence: Evidence
    recorder: Recorder
    workspaces: Workspaces
    runtimes: Mapping[str, Runtime]
    clock: Clock
    wake: Callable[[Key], None]


class Reconciler:
    """Reconciles one key at a time; safe to be called by several workers for different keys."""

    def __init__(self, collaborators: Collaborators) -> None:
        self._with = collaborators
        self._world = collaborators.world
        self._since = collaborators.clock.now()

    def reconcile(self, key: Key) -> Outcome:
        """Bring one key to what is wanted. Raises nothing of ours: a failure is an outcome."""
        view: View | None = None
        try:
            for _ in range(_MOST_BATCHES):
                view = self._with.outlook.view(key)
                if view is None:
                    return Outcome(Result.SUCCESS)
                outcome = self._pass(view)
                if outcome is not None:
                    return outcome
            return Outcome(Result.REQUEUE, error="it does not settle")
        except (RuntimeFailure, StateError) as exc:
            return self._failed(key, view, exc)

    def _pass(self, view: View) -> Outcome | None:
        """One batch; None where another look is needed."""
        view = self._restored(self._edited(view))
        self._trace_seen(view)
        plan = self._with.evidence.complete(view, plan_sandbox(view))
        self._note(view, plan)
        if plan.consumed:
            self._world.consume(view.key, view.intent)
        if plan.operations:
            return self._carry_out(view, plan)
        self._keep(view, plan.record, plan)
        now = self._with.clock.now()
        if plan.requeue_at is not None and plan.requeue_at <= now:
            return None
        terminal = bool(plan.record.failed_hash) or plan.verdict.accepted is not None
        after = None if plan.requeue_at is None else plan.requeue_at - now
        return Outcome(Result.TERMINAL if terminal else Result.SUCCESS, after)

    def _edited(self, view: View) -> View:
        """The view without the holds that an edit has ended."""
        ended = released_by_edit(view.holds, view.record.generation)
        if not ended:
            return view
        self._with.holds.release(view.key, lambda hold: hold in ended)
        for hold in ended:
            self._with.journal.event(view.key, "Released", f"{hold.type} was released by an edit")
        return replace(view, holds=self._world.holds(view.key))

    def _restored(self, view: View) -> View:
        """The view on the workspace that a restore brought back; the instance on the other one is stale by that."""
        if view.intent is None or view.intent.verb != "restore":
            return view
        uid, empty = view.intent.cause, view.record.uid
        self._world.consume(view.key, view.intent)
        view = replace(view, intent=None)
        try:
            if not self._with.workspaces.is_empty(empty):
                raise StateError(f"{self._with.workspaces.path(empty)} holds files by now; move them away first")
            self._with.workspaces.restore(uid)
            self._with.workspaces.erase(empty)
        except (StateError, DiskFullError) as exc:
            self._with.journal.event(view.key, "RestoreFailed", str(exc), warning=True)
            return view
        self._with.journal.event(view.key, "Restored", f"its workspace is {uid} again")
        return replace(view, record=replace(view.record, uid=uid))

    def _note(self, view: View, plan: Plan) -> None:
        before = self._world.entry(view.key)
        for notice in plan.notices:
            # An edit that is carried out in place is Ready at once, and was so all the time.
            if notice.reason != "Ready" or before is None or not before.ready:
                self._with.journal.event(view.key, notice.reason, notice.message, notice.warning)
        if any(notice.reason == "Ready" for notice in plan.notices):
            self._traced(plan.record, "ready", self._with.clock.now())
        if any(notice.reason == LIMIT_EXCEEDED for notice in plan.notices):
            # What the kernel enforced; the tick counts what it finds itself.
            self._with.recorder.violated(view.key, str(Resource.MEMORY), str(Action.KILL))

    def _carry_out(self, view: View, plan: Plan) -> Outcome | None:
        record, failure = self._planned(plan), self._standing_failure(view)
        preparation = tuple(operation for operation in plan.operations if operation.verb is Verb.PREPARE)
        if preparation:
            self._keep(view, record, plan, failure, preparing=True)
            self._with.executor.execute(preparation, record.document)
        if view.observed or not preparation:
            self._keep(view, record, plan, failure)
        created = self._with.executor.execute(plan.operations[len(preparation) :], record.document)
        self._describe(view.key, plan.operations)
        if plan.forget:
            self._forget(view.key, record)
            return Outcome(Result.SUCCESS)
        if any(operation.verb is Verb.ERASE for operation in plan.operations):
            self._with.journal.forget_evidence(view.key)
        after = plan.after or plan.record
        if created:
            now = self._with.clock.now()
            after = replace(after, instance_id=created, timings=replace(record.timings, created=now))
            self._traced(after, "created", now)
            self._with.evidence.begin(created)
        self._keep(view, after, plan)
        return None

    def _standing_failure(self, view: View) -> tuple[str, str] | None:
        """What failed last stands until it has succeeded; an edit is another matter."""
        before = self._world.entry(view.key)
        return before.failure if before and before.record.generation == view.record.generation else None

    def _planned(self, plan: Plan) -> Record:
        if plan.record.timings.planned is not None or not any(op.verb is Verb.CREATE for op in plan.operations):
            return plan.record
        now = self._with.clock.now()
        self._traced(plan.record, "planned", now)
        return replace(plan.record, timings=replace(plan.record.timings, planned=now))

    def _trace_seen(self, view: View) -> None:
        before, seen = self._world.entry(view.key), view.record.timings.seen
        if seen is not None and (before is None or before.record.generation != view.record.generation):
            self._traced(view.record, "seen", seen)

    def _traced(self, record: Record, stage: str, now: float) -> None:
        saved = record.timings.saved
        if saved is not None and saved >= self._since:  # one saved before waited for the daemon's start, not for it
            self._with.recorder.changed(stage, max(0.0, now - saved))

    def _describe(self, key: Key, operations: tuple[Operation, ...]) -> None:
        for operation in operations:
            if operation.verb is not Verb.PREPARE:
                self._with.journal.event(key, _reason(operation.verb), operation.cause)

    def _keep(
        self,
        view: View,
        record: Record,
        plan: Plan,
        failure: tuple[str, str] | None = None,
        preparing: bool = False,
    ) -> None:
        """Remember and show where the key stands."""
        before = self._world.entry(view.key)
        desired = view.desired
        running = next((seen for seen in view.observed if seen.pid or not seen.has_process), None)
        contract, contract_of = self._contract(before, running, desired)
        known = Known(
            previous=before.status if before else None,
            usage=before.usage if before else None,
            contract=contract,
            stale=self._world.stale(view.key),
            failure=failure,
            workspace=self._with.workspaces.path(record.uid),
            preparing=preparing,
        )
        status = status_of(replace(view, holds=self._world.holds(view.key)), record, plan.verdict, known)
        entry = Entry(record, status, view.observed, contract, contract_of, known.usage if running else None, failure)
        entry = self._put(view, entry)
        self._with.journal.save(view.key, record, entry.status)
        if before is None or before.ready != entry.ready:
            for dependent in dependents_of(view.key, self._world.declared()):
                self._with.wake(dependent)

    def _put(self, view: View, entry: Entry) -> Entry:
        """Show it; not as Ready where a restart was asked for since the pass began."""
        with self._world.atomically():
            pending = self._world.intent(view.key)
            if pending is not None and pending is not view.intent and pending.verb == RESTART and entry.status:
                status = not_ready(entry.status, "Restarting", pending.cause, self._with.clock.now())
                entry = replace(entry, status=status)
            present = self._world.entry(view.key)
            if present is not None and entry.usage is not None:
                entry = replace(entry, usage=present.usage)
            self._world.put(view.key, entry)
            return entry

    def _contract(
        self, before: Entry | None, running: Observed | None, desired: Desired | None
    ) -> tuple[tuple[ContractRow, ...], str]:
        if running is None or desired is None:
            return (), ""
        of = f"{running.id}@{running.started_at}/{running.limits}"
        if before is not None and before.contract_of == of:
            return before.contract, of
        try:
            return self._with.runtimes[running.runtime].contract(running, desired.spec), of
        except RuntimeFailure as exc:
            log.warning("contract_unread", error=str(exc))
            return (), ""
        except Exception:  # it reads what a sandbox has a hand in, and no pass may end by that
            log.exception("contract_unreadable")
            return (), ""

    def _forget(self, key: Key, record: Record) -> None:
        self._with.journal.forget(key)
        self._with.executor.forget(key)
        self._with.holds.release(key, lambda _: True)
        self._world.forget(key)
        self._with.recorder.forget(key)
        for dependency in dependencies_in(record, key):
            self._with.wake(dependency)

    def _failed(self, key: Key, view: View | None, exc: SandkeeperError) -> Outcome:
        """Show the failure; whether it waits for an edit or is tried again is the planner's to say."""
        if isinstance(exc, ConflictError):
            return Outcome(Result.RETRY, error=str(exc))
        pending = isinstance(exc, PreparingError)
        reason = exc.reason if isinstance(exc, RuntimeFailure) else "StateError"
        if not pending:
            self._with.journal.event(key, reason, str(exc), warning=True)
        if view is None:
            return Outcome(Result.RETRY, error=str(exc))
        current = self._world.entry(key)
        base = replace(view, record=current.record) if current else view
        record = after_failure(base, exc)
        terminal = record.failed_hash != base.record.failed_hash
        plan = plan_sandbox(replace(base, record=record))
        preparing = isinstance(exc, RuntimeFailure) and exc.operation == Verb.PREPARE
        failure = self._standing_failure(base) if pending else (reason, str(exc))
        self._keep(base, record, plan, None if terminal else failure, preparing)
        if terminal:
            return Outcome(Result.REQUEUE, 0.0, str(exc))
        if pending:
            due = plan.requeue_at
            return Outcome(Result.PENDING, min(_PREPARING_SECONDS, due - base.now if due else _PREPARING_SECONDS))
        return Outcome(Result.RETRY, error=str(exc))


def _reason(verb: Verb) -> str:
    endings = {
        Verb.CREATE: "Created",
        Verb.START: "Started",
        Verb.STOP: "Stopped",
        Verb.KILL: "Killed",
        Verb.PAUSE: "Paused",
        Verb.UNPAUSE: "Unpaused",
        Verb.UPDATE: "Updated",
        Verb.REMOVE: "Removed",
        Verb.TRASH: "WorkspaceTrashed",
        Verb.ERASE: "WorkspaceErased",
    }
    return endings[verb]
