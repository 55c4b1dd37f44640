"""A runtime in memory and a loop that can lose its memory before any step, with the planner's invariants checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from controller.model.errors import RuntimeFailure
from controller.model.hold import Hold, HoldType
from controller.model.identity import instance_name
from controller.model.observed import Capabilities, Exit, InstanceState, Observed
from controller.model.operation import Operation, Verb
from controller.model.record import Intent, Record
from controller.model.spec import Desired, Limits
from controller.plan.acceptance import accept, released_by_edit
from controller.plan.cast import UP
from controller.plan.failure import after_failure
from controller.plan.sandbox import plan_sandbox
from controller.plan.view import Plan, View
from controller.report.codec import decode, encode
from tests.plan.support import DIRECTORY, DOCKER, INSTANCE, KEY, NOW, desired, text_of

_MOST_BATCHES = 12
AT_REST = frozenset({InstanceState.CREATED, InstanceState.EXITED})
KEPT = ("uid", "generation", "finished", "failed_hash", "failure_reason", "ready_once", "erased", "runtime", "ending")


class Crash(Exception):  # noqa: N818 - it is no error
    """The daemon is gone, and with it all that was not saved."""


@dataclass
class Failing:
    """An operation that fails so many times more; `image` limits it to what is made from that one."""

    verb: Verb
    failure: RuntimeFailure
    image: str
    times: int


@dataclass
class Simulation:
    """One sandbox, its runtimes and its daemon. `steps` counts saves and operations; before the one numbered
    `crash_at` the daemon dies."""

    wanted: Desired | None = None
    record: Record | None = None
    now: float = NOW
    instances: dict[str, Observed] = field(default_factory=dict)
    holds: tuple[Hold, ...] = ()
    intent: Intent | None = None
    able: dict[str, Capabilities] = field(default_factory=lambda: {"docker": DOCKER, "directory": DIRECTORY})
    waiting_for: tuple[str, ...] = ()
    fails: list[Failing] = field(default_factory=list)
    trashed: list[str] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    steps: int = 0
    crash_at: int | None = None
    made: int = 0
    backs_off: bool = False

    # What happens to it

    def edit(self, **spec: Any) -> None:
        """The manifest says this now."""
        self.declare(desired(**spec))

    def declare(self, wanted: Desired | None) -> None:
        """The manifest is this, or is gone."""
        self.wanted = wanted

    def hold(self, type_: HoldType, value: int | None = None) -> None:
        """Somebody, or enforcement, holds it."""
        generation, of = (self.record.generation, self.record.resolved_hash) if self.record else (1, "")
        others = tuple(hold for hold in self.holds if hold.type is not type_)
        self.holds = (*others, Hold(KEY, type_, f"{type_} by a test", self.now, generation, value, of))

    def resume(self) -> None:
        """All holds end."""
        self.holds = ()

    def ask(self, verb: str) -> None:
        """An intent."""
        self.intent = Intent(verb, f"{verb} by a test")

    def end(self, code: int, oom: bool = False, engine_restarted: bool = False) -> None:
        """The processes that run end by themselves."""
        for seen in list(self.instances.values()):
            if seen.state in UP and seen.has_process and (engine_restarted or seen.state is InstanceState.RUNNING):
                self._put(seen, state=InstanceState.EXITED, exit=Exit(code, None, oom, self.now, engine_restarted))

    def meddle(self, runtime: str, state: InstanceState | None) -> None:
        """Somebody pauses or unpauses (one instance at most) or removes what there is, behind the daemon's back."""
        for seen in [one for one in self.instances.values() if one.runtime == runtime]:
            if state is None:
                del self.instances[seen.id]
            elif seen.state in UP and not (state is InstanceState.RUNNING and self.unfrozen()):
                self._put(seen, state=state)

    def relimit(self, limits: Limits) -> None:
        """Somebody changes the live limits."""
        for seen in list(self.instances.values()):
            self._put(seen, limits=limits)

    def reach(self, runtime: str, available: bool) -> None:
        """A runtime comes or goes."""
        self.able[runtime] = replace(self.able[runtime], available=available)

    def fail(self, verb: Verb, failure: RuntimeFailure, image: str = "", times: int = 1000) -> None:
        """The next operations of that verb fail."""
        self.fails.append(Failing(verb, failure, image, times))

    # The daemon

    def crash(self) -> None:
        """Forget all that was not saved. Holds and the record are on disk."""
        self.intent = None

    def settle(self) -> Plan | None:
        """Work until there is nothing to do now but what fails again and again; the last plan, or None where nothing is
        known."""
        for _ in range(_MOST_BATCHES):
            self.backs_off = False
            plan = self._pass()
            if plan is None or not (plan.operations or self._is_due(plan)):
                return plan
        if self.backs_off:
            return plan
        raise AssertionError("it does not settle:\n" + "\n".join(self.trace[-8:]))

    def rest(self, seconds: float = 700.0) -> Plan | None:
        """Work, letting time pass, until nothing is scheduled within so many seconds."""
        end = self.now + seconds
        plan = self.settle()
        while plan is not None and plan.requeue_at is not None and plan.requeue_at <= end:
            self.now = max(self.now, plan.requeue_at)
            plan = self.settle()
        return plan

    def _is_due(self, plan: Plan) -> bool:
        return plan.requeue_at is not None and plan.requeue_at <= self.now

    def _pass(self) -> Plan | None:
        view = self.view()
        if view is None:
            return None
        ended = released_by_edit(view.holds, view.record)
        self.holds = tuple(hold for hold in self.holds if hold not in ended)
        view = replace(view, holds=self.holds)
        plan = plan_sandbox(view)
        self.trace.append(text_of(plan))
        if plan.consumed:
            self.intent = None
        try:
            created = self._carry_out(plan)
        except RuntimeFailure as exc:
            self.now += 1
            self.backs_off = True
            assert self.record is not None
            self._save(after_failure(replace(view, record=self.record), exc))
            return plan
        if plan.forget:
            self._step()
            self.record, self.holds = None, ()
        elif plan.operations:
            after = plan.after or plan.record
            self._save(replace(after, instance_id=created) if created else after)
        return plan

    def view(self) -> View | None:
        """What the daemon knows now, or None where nothing is known."""
        record = self.record
        if self.wanted is not None:
            record = accept(record, self.wanted, "uid-1", self.now)
        if record is None:
            return None
        unseen = frozenset(name for name, able in self.able.items() if not able.available)
        return View(
            instance=INSTANCE,
            key=KEY,
            desired=self.wanted,
            record=record,
            observed=tuple(seen for seen in self.instances.values() if seen.runtime not in unseen),
            capabilities=self.able,
            now=self.now,
            holds=self.holds,
            intent=self.intent,
            unseen=unseen,
            waiting_for=self.waiting_for,
        )

    def _save(self, record: Record) -> None:
        if record != self.record:
            self._step()
        self.record = decode(Record, json.loads(json.dumps(encode(record))))
        assert self.record == record

    def _step(self) -> None:
        if self.steps == self.crash_at:
            raise Crash
        self.steps += 1

    def _carry_out(self, plan: Plan) -> str:
        if plan.meanwhile is None:
            self._save(plan.record)
            return self._execute(plan.operations)
        self._save(plan.meanwhile.record)
        preparations = [operation for operation in plan.operations if operation.verb is Verb.PREPARE]
        self._execute(preparations)
        self._save(plan.record)
        return self._execute(plan.operations[len(preparations) :])

    def _execute(self, operations: Sequence[Operation]) -> str:
        created = ""
        for operation in operations:
            assert operation.cause.strip(), f"{operation.verb} without a cause"
            self._step()
            self._maybe_fail(operation, created)
            created = self._apply(operation, created) or created
            assert len(self.unfrozen()) <= 1, f"two unfrozen after {operation}:\n" + "\n".join(self.trace)
        return created

    def _maybe_fail(self, operation: Operation, created: str) -> None:
        seen = self.instances.get(operation.target or created)
        template = operation.desired.template if operation.desired else seen.template if seen else {}
        for failing in self.fails:
            if failing.times and failing.verb is operation.verb and failing.image in ("", template.get("image")):
                failing.times -= 1
                failing.failure.operation = str(operation.verb)
                raise failing.failure

    # The runtimes

    def unfrozen(self) -> list[Observed]:
        """The instances that run."""
        return [seen for seen in self.instances.values() if seen.state is InstanceState.RUNNING]

    def _apply(self, operation: Operation, created: str) -> str:
        match operation.verb:
            case Verb.PREPARE:
                return ""
            case Verb.CREATE:
                return self._create(operation)
            case Verb.TRASH:
                self.trashed = [operation.uid]
                return ""
            case Verb.ERASE:
                self.erased = [operation.uid]
                return ""
            case Verb.RESTORE:
                self.trashed = []
                return ""
        assert self.able[operation.runtime].available, f"{operation} on a runtime that is away"
        seen = self.instances[operation.target or created]
        expected, changes = self._effect(operation, seen)
        assert seen.state in expected, f"{operation} on one that is {seen.state}"
        if operation.verb is Verb.REMOVE:
            del self.instances[seen.id]
        else:
            self._put(seen, **changes)
        return ""

    def _effect(self, operation: Operation, seen: Observed) -> tuple[frozenset[InstanceState], dict[str, Any]]:
        """The states in which the operation makes sense, and what it changes."""
        limits = operation.limits or Limits()
        return {
            Verb.START: (AT_REST, {"state": InstanceState.RUNNING, "started_at": self.now, "exit": None}),
            Verb.STOP: (UP, self._ended(143 if seen.has_process else 0)),
            Verb.KILL: (UP, self._ended(137)),
            Verb.PAUSE: (frozenset({InstanceState.RUNNING}), {"state": InstanceState.PAUSED}),
            Verb.UNPAUSE: (frozenset({InstanceState.PAUSED}), {"state": InstanceState.RUNNING}),
            Verb.UPDATE: (UP | AT_REST, {"limits": Limits(limits.memory, limits.cpu, limits.pids)}),
            Verb.REMOVE: (frozenset(InstanceState), {}),
        }[operation.verb]

    def _ended(self, code: int) -> dict[str, Any]:
        return {"state": InstanceState.EXITED, "exit": Exit(code, code - 128 if code else None, False, self.now)}

    def _create(self, operation: Operation) -> str:
        wanted, owner = operation.desired, operation.owner
        assert wanted is not None
        assert owner is not None
        name = instance_name(INSTANCE, KEY, owner.slot)
        taken = [seen for seen in self.instances.values() if (seen.runtime, seen.name) == (operation.runtime, name)]
        assert not taken, f"{operation}: the name is taken"
        self.made += 1
        limits, able = wanted.spec.limits, self.able[operation.runtime]
        cpu = None if limits.cpu is None else min(limits.cpu, able.max_cpu)
        made = Observed(
            owner=owner,
            runtime=operation.runtime,
            id=f"{operation.runtime}-{self.made}",
            name=name,
            state=InstanceState.CREATED,
            limits=Limits(limits.memory, cpu, limits.pids),
            template=json.loads(json.dumps(wanted.template)),
            created_at=self.now,
            has_process=operation.runtime == "docker" or bool(wanted.spec.command),
        )
        self.instances[made.id] = made
        return made.id

    def _put(self, seen: Observed, **changes: Any) -> None:
        self.instances[seen.id] = replace(seen, **changes)

    # What came of it

    def outcome(self) -> dict[str, Any]:
        """The end as a value: what two histories that converge have in common."""
        record = self.record
        return {
            "instances": sorted(
                (seen.runtime, seen.owner.spec_hash, str(seen.state), seen.owner.uid, seen.limits.cpu or 0)
                for seen in self.instances.values()
            ),
            "record": None if record is None else {name: getattr(record, name) for name in KEPT},
            "replacing": record is not None and record.replacing is not None,
            "workspace": (self.trashed, self.erased),
        }


def until_crash(simulation: Simulation, work: Callable[[Simulation], object]) -> bool:
    """Do the work; True where the daemon died of it. It is up again, without its memory."""
    try:
        work(simulation)
    except Crash:
        simulation.crash_at = None
        simulation.crash()
        return True
    simulation.crash_at = None
    return False
