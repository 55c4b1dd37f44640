"""One pass over one key: look, plan, carry out, look again, until nothing is left to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from controller.model.errors import ConflictError, PreparingError, RuntimeFailure, SandkeeperError, StateError
from controller.model.identity import Key
from controller.model.operation import Operation, Verb
from controller.model.record import Record
from controller.model.spec import Action, Resource
from controller.plan.acceptance import released_by_edit
from controller.plan.failure import after_failure
from controller.plan.sandbox import plan_sandbox
from controller.plan.target import LIMIT_EXCEEDED, Goal, target_of
from controller.plan.view import Plan, View

from .collaborators import Collaborators
from .keeper import Keeper

# A healthy key settles in three or four; one that has not by then is fighting somebody and waits its backoff.
_MOST_BATCHES: Final = 12
# Somebody may have been quicker; one that lasts needs somebody to look.
_SILENT_CONFLICTS: Final = 2
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
    """The result of a pass, and in how many seconds to look again at the latest though nothing happens."""

    result: Result
    requeue_after: float | None = None
    error: str = ""


class Reconciler:
    """Reconciles one key at a time; safe to be called by several workers for different keys."""

    def __init__(self, collaborators: Collaborators) -> None:
        self._with = collaborators
        self._world = collaborators.world
        self._keeper = Keeper(collaborators)
        self._since = collaborators.clock.now()
        self._conflicts: dict[Key, int] = {}

    def reconcile(self, key: Key) -> Outcome:
        """Bring one key to what is wanted. Raises nothing of ours: a failure is an outcome."""
        view: View | None = None
        conflicts = self._conflicts.pop(key, 0)
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
            if isinstance(exc, ConflictError):
                self._conflicts[key] = conflicts + 1
                if conflicts < _SILENT_CONFLICTS:
                    return Outcome(Result.RETRY, error=str(exc))
            return self._failed(key, view, exc)

    def _pass(self, view: View) -> Outcome | None:
        """One batch; None where another look is needed."""
        view = self._edited(view)
        self._trace_seen(view)
        plan = self._with.evidence.complete(view, plan_sandbox(view))
        if plan.consumed:
            self._world.consume(view.key, view.intent)
        if plan.operations:
            return self._carry_out(view, plan)
        self._note(view, plan)
        # What cannot be prepared is nothing to one that is not to run.
        failure = self._keeper.standing_failure(view) if plan.record.unprepared and _is_to_run(view) else None
        self._keeper.keep(view, plan.record, plan, failure)
        now = self._with.clock.now()
        if plan.requeue_at is not None and plan.requeue_at <= now:
            return None
        terminal = bool(plan.record.failed_hash) or plan.verdict.accepted is not None
        after = None if plan.requeue_at is None else plan.requeue_at - now
        if _was_left_without_answer(view):
            return Outcome(Result.RETRY, after, "a runtime did not answer")
        self._with.executor.forgo(view.key)
        return Outcome(Result.TERMINAL if terminal else Result.SUCCESS, after)

    def _edited(self, view: View) -> View:
        """The view without the holds that an edit has ended."""
        ended = released_by_edit(view.holds, view.record)
        if not ended:
            return view
        self._with.holds.release(view.key, lambda hold: hold in ended)
        for hold in ended:
            self._with.journal.event(view.key, "Released", f"{hold.type} was released by an edit")
        return replace(view, holds=self._world.holds(view.key))

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
        plan, failure = self._planned(plan), self._keeper.standing_failure(view)
        record = plan.record
        preparation = tuple(operation for operation in plan.operations if operation.verb is Verb.PREPARE)
        if preparation:
            first = plan.meanwhile or plan
            self._keeper.keep(view, first.record, first, failure)
            self._with.executor.execute(preparation, record.document)
        self._note(view, plan)
        if plan.meanwhile or not preparation:
            self._keeper.keep(view, record, plan, failure)
        created = self._with.executor.execute(plan.operations[len(preparation) :], record.document)
        self._describe(view.key, plan.operations)
        if plan.forget:
            self._keeper.forget(view.key, record)
            return Outcome(Result.SUCCESS)
        if any(operation.verb is Verb.ERASE for operation in plan.operations):
            self._with.journal.forget_evidence(view.key)
        after = plan.after or plan.record
        if created:
            now = self._with.clock.now()
            after = replace(after, instance_id=created, timings=replace(record.timings, created=now))
            self._traced(after, "created", now)
        self._keeper.keep(view, after, plan, failure if after.unprepared else None)
        if created:
            # A tick forgets the windows of all that nobody knows.
            self._with.evidence.begin(created)
        return None

    def _planned(self, plan: Plan) -> Plan:
        if plan.record.timings.planned is not None or not any(op.verb is Verb.CREATE for op in plan.operations):
            return plan
        now = self._with.clock.now()
        self._traced(plan.record, "planned", now)
        meanwhile = plan.meanwhile and replace(plan.meanwhile, record=_timed(plan.meanwhile.record, now))
        return replace(plan, record=_timed(plan.record, now), meanwhile=meanwhile)

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

    def _failed(self, key: Key, view: View | None, exc: SandkeeperError) -> Outcome:
        """Show the failure; whether it waits for an edit or is tried again is the planner's to say."""
        pending, reason = isinstance(exc, PreparingError), _failure_of(exc)
        if not pending:
            self._with.journal.event(key, reason, str(exc), warning=True)
        if view is None:
            return Outcome(Result.RETRY, error=str(exc))
        current = self._world.entry(key)
        base = replace(view, record=current.record) if current else view
        record = after_failure(base, exc)
        terminal = record.failed_hash != base.record.failed_hash
        plan = plan_sandbox(replace(base, record=record))
        if plan.meanwhile and isinstance(exc, RuntimeFailure) and exc.operation == Verb.PREPARE:
            plan = plan.meanwhile
        failure = self._keeper.standing_failure(base) if pending else (reason, str(exc))
        self._keeper.keep(base, record, plan, None if terminal else failure)
        if terminal:
            return Outcome(Result.REQUEUE, 0.0, str(exc))
        due_in = None if plan.requeue_at is None else max(0.0, plan.requeue_at - self._with.clock.now())
        if pending:
            return Outcome(Result.PENDING, _PREPARING_SECONDS if due_in is None else min(_PREPARING_SECONDS, due_in))
        return Outcome(Result.RETRY, due_in, str(exc))


def _is_to_run(view: View) -> bool:
    return view.desired is not None and target_of(view, view.desired.spec.lifecycle).goal is Goal.RUN


def _was_left_without_answer(view: View) -> bool:
    """True where a runtime that is there did not answer this once: no event of it will wake the key."""
    return any(view.capabilities[name].available for name in view.unseen if name in view.capabilities)


def _timed(record: Record, planned: float) -> Record:
    return replace(record, timings=replace(record.timings, planned=planned))


def _failure_of(exc: SandkeeperError) -> str:
    if exc.operation == Verb.RESTORE:
        return "RestoreFailed"
    return exc.reason if isinstance(exc, RuntimeFailure) else "StateError"


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
        Verb.RESTORE: "Restored",
    }
    return endings[verb]
