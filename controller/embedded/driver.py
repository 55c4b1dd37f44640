"""Brings one sandbox to what is wanted, as the loop of a daemon does for many: look, plan, carry out, look again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from controller.embedded.home import Home
from controller.embedded.kept import Kept
from controller.embedded.runtimes import LocalRuntimes
from controller.embedded.unrecorded import Unrecorded
from controller.loop.executor import Executor
from controller.model.clock import Clock
from controller.model.errors import (
    ConflictError,
    EngineTimeoutError,
    EngineUnavailableError,
    InstanceNotFoundError,
    PreparingError,
    RuntimeFailure,
    SandboxError,
)
from controller.model.observed import InstanceState, Observed
from controller.model.operation import Verb
from controller.model.record import Record
from controller.model.spec import Desired, Isolation
from controller.plan.acceptance import accept, identified
from controller.plan.cast import RUNTIME_OF
from controller.plan.exits import end_text
from controller.plan.failure import after_failure
from controller.plan.reach import may_hold
from controller.plan.sandbox import plan_sandbox
from controller.plan.view import Plan, View

# A healthy sandbox settles in three or four; one that has not by then is fighting somebody.
_MOST_BATCHES: Final = 32
_MOST_CONFLICTS: Final = 3
_CONFLICT_SECONDS: Final = 0.05
_FIRST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 0.05
_MOST_CRASHES: Final = 2
_LOOK_AGAIN: Final = (ConflictError, InstanceNotFoundError)


class Driver:
    """Works on sandboxes whose lock the caller holds. For any thread.

    Raises SandboxError where it does not come to what is wanted; EngineUnavailableError, StateError.
    """

    def __init__(self, home: Home, runtimes: LocalRuntimes, clock: Clock) -> None:
        self._home = home
        self._runtimes = runtimes
        self._clock = clock
        self._executor = Executor(runtimes, runtimes.workspaces, Unrecorded(), clock)

    def bring_up(self, kept: Kept, desired: Desired, *, is_new: bool = False, until_ready: bool = False) -> Kept:
        """Have it run, or with `until_ready` run for long enough to be Ready and nothing else of it be left.

        `is_new`: nothing of it can be there yet.
        """
        work = _Work(self._home, kept, desired)
        batches, conflicts, pause = 0, 0, _FIRST_PAUSE
        while batches < _MOST_BATCHES:
            view = self._view(work, () if is_new else self._look(work.kept, desired))
            plan = plan_sandbox(view)
            is_new = False
            try:
                if self._carry_out(work, plan):
                    pause = _FIRST_PAUSE
                elif self._has_arrived(view, plan, until_ready):
                    return work.kept
                else:
                    self._wait_for(plan)
                batches += 1
            except PreparingError as exc:  # nobody else would tell of its end
                work.keep(after_failure(replace(view, record=work.record), exc))
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            except RuntimeFailure as exc:
                batches += 1
                conflicts += isinstance(exc, _LOOK_AGAIN)
                is_patient = isinstance(exc, _LOOK_AGAIN) and conflicts < _MOST_CONFLICTS
                self._note_failure(work, view, exc, is_patient)
        raise SandboxError(f"sandbox {kept.id} does not settle: does something else change it?")

    def take_down(self, kept: Kept) -> None:
        """Remove every instance of it and its workspace."""
        observed = self._look(kept, None)
        record = identified(kept.record, observed, None, self._clock.now())
        if record is not None:
            view = self._undeclared(kept, record, observed)
            plan = plan_sandbox(view)
            if not plan.forget:
                raise SandboxError(f"sandbox {kept.id} is not removed: {plan.verdict.message}")
            self._executor.execute(plan.operations, record.document)
        self._runtimes.workspaces.erase(kept.id)

    def observe(self, kept: Kept) -> tuple[Observed, ...]:
        """Its instances now. Raises EngineUnavailableError, RuntimeFailure."""
        return self._look(kept, None)

    def _view(self, work: _Work, observed: tuple[Observed, ...]) -> View:
        now, kept, desired = self._clock.now(), work.kept, work.desired
        record = accept(identified(kept.record, observed, desired, now), desired, kept.id, now)
        names = _concerned(kept, record, desired)
        return View(
            instance=self._home.instance,
            key=kept.key,
            desired=desired,
            record=record,
            observed=observed,
            capabilities={name: self._runtimes[name].capabilities() for name in names},
            now=now,
        )

    def _undeclared(self, kept: Kept, record: Record, observed: tuple[Observed, ...]) -> View:
        # With a document: one without would be taken for one whose manifest was never known.
        known = record if record.document else replace(record, document={"metadata": {"name": kept.id}})
        names = _concerned(kept, known, None)
        return View(
            instance=self._home.instance,
            key=kept.key,
            desired=None,
            record=known,
            observed=observed,
            capabilities={name: self._runtimes[name].capabilities() for name in names},
            now=self._clock.now(),
        )

    def _look(self, kept: Kept, desired: Desired | None) -> tuple[Observed, ...]:
        found: list[Observed] = []
        for name in sorted(_concerned(kept, kept.record, desired)):
            runtime = self._runtimes[name]
            able = runtime.capabilities()
            if not able.available:
                raise EngineUnavailableError(able.message, able.reason)
            found += runtime.inspect(kept.key)
        return tuple(found)

    def _carry_out(self, work: _Work, plan: Plan) -> bool:
        """Keep the plan's record and carry its operations out; False where there are none."""
        if not plan.operations:
            work.keep(plan.record)
            return False
        preparation = [operation for operation in plan.operations if operation.verb is Verb.PREPARE]
        if preparation:
            work.keep((plan.meanwhile or plan).record)
            self._executor.execute(preparation, {})
        if plan.meanwhile or not preparation:
            work.keep(plan.record)
        created = self._executor.execute(plan.operations[len(preparation) :], {})
        after = plan.after or plan.record
        work.keep(replace(after, instance_id=created) if created else after)
        return True

    def _has_arrived(self, view: View, plan: Plan, until_ready: bool) -> bool:
        """Whether there is nothing left to wait for. Raises SandboxError where there is nothing to be had."""
        record, verdict = plan.record, plan.verdict
        if view.desired is not None and record.failed_hash == view.desired.spec_hash:
            raise SandboxError(record.failure)
        if record.finished or record.crash_streak >= _MOST_CRASHES:
            raise SandboxError(f"sandbox {view.key.name} does not stay up: {end_text(record)}")
        if verdict.ready:
            return True
        runs = any(seen.state is InstanceState.RUNNING for seen in view.observed)
        if plan.requeue_at is None and not runs:
            raise SandboxError(f"sandbox {view.key.name} cannot run: {verdict.reason}: {verdict.message}")
        return runs and not until_ready

    def _wait_for(self, plan: Plan) -> None:
        due_in = 0.0 if plan.requeue_at is None else plan.requeue_at - self._clock.now()
        time.sleep(max(0.0, due_in))

    def _note_failure(self, work: _Work, view: View, exc: RuntimeFailure, is_patient: bool) -> None:
        """Remember what it means; raises unless the planner has an answer to it, or it is worth another look."""
        before = work.record
        work.keep(after_failure(replace(view, record=before), exc))
        if isinstance(exc, EngineUnavailableError | EngineTimeoutError):
            raise exc
        if work.record.failed_hash != before.failed_hash:
            return
        if not is_patient:
            raise SandboxError(str(exc)) from exc
        time.sleep(_CONFLICT_SECONDS)


class _Work:
    """One sandbox under way: what is kept of it is on the disk before anything is done to it."""

    def __init__(self, home: Home, kept: Kept, desired: Desired) -> None:
        self._home = home
        self.kept = kept
        self.desired = desired

    @property
    def record(self) -> Record:
        """The record as kept last."""
        if self.kept.record is None:
            raise ValueError("nothing was planned yet")
        return self.kept.record

    def keep(self, record: Record) -> None:
        """Keep it."""
        if record != self.kept.record:
            self.kept = replace(self.kept, record=record)
            self._home.write(self.kept)


def _concerned(kept: Kept, record: Record | None, desired: Desired | None) -> frozenset[str]:
    """The runtimes that may have an instance of it."""
    wanted = desired.spec.isolation if desired is not None else Isolation(kept.isolation)
    held = may_hold(record) if record is not None else frozenset[str]()
    return held if desired is None and held else held | {RUNTIME_OF[wanted]}


def running_of(observed: Sequence[Observed]) -> Observed | None:
    """The one that runs."""
    return next((seen for seen in observed if seen.state is InstanceState.RUNNING), None)
