"""Words to describe a sandbox's situation in, and its plan as text: no engine, no clock, no files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from controller.model.hold import Hold, HoldType
from controller.model.identity import Key, Owner, Slot, digest_of, instance_name, sandbox_key
from controller.model.manifest import Document
from controller.model.observed import Capabilities, Exit, InstanceState, Observed
from controller.model.record import Intent, Record
from controller.model.spec import Desired, Limits
from controller.plan.acceptance import accept
from controller.plan.cast import RUNTIME_OF
from controller.plan.sandbox import plan_sandbox
from controller.plan.view import Plan, Verdict, View
from controller.resolve.defaults import ResolveSettings
from controller.resolve.resolver import resolve

NOW = 1_800_000_000.0
KEY = sandbox_key("default", "web")
INSTANCE = "6f1c"
DOCKER = Capabilities(
    "docker",
    updatable=frozenset({"memory", "cpu", "pids"}),
    freeze=True,
    throttle=True,
    networks=True,
    max_cpu=4000,
    min_memory=6 << 20,
)
DIRECTORY = replace(DOCKER, runtime="directory", networks=False, min_memory=0)


def desired(key: Key = KEY, /, **spec: Any) -> Desired:
    """The desired sandbox of a manifest with that spec, through the real resolver."""
    body = {"kind": "Sandbox", "metadata": {"name": key.name, "namespace": key.namespace}, "spec": spec}
    return resolve(Document(key, body, f"{key.name}.yaml", 1, digest_of(body)), ResolveSettings())


def accepted(wanted: Desired, at: float = NOW) -> Record:
    """The record of a sandbox that was accepted for the first time."""
    return accept(None, wanted, "uid-1", at)


def instance(
    made_from: Desired,
    state: InstanceState = InstanceState.RUNNING,
    *,
    slot: Slot = "a",
    ran: float = 60.0,
    limits: Limits | None = None,
    exit: Exit | None = None,
    uid: str = "uid-1",
    generation: int = 1,
) -> Observed:
    """An instance that was created a second before it began to run, `ran` seconds ago."""
    runtime = RUNTIME_OF[made_from.spec.isolation]
    wanted = made_from.spec.limits
    started = None if state is InstanceState.CREATED else NOW - ran
    has_process = runtime == "docker" or bool(made_from.spec.command)
    return Observed(
        owner=Owner(INSTANCE, KEY, uid, generation, made_from.spec_hash, slot),
        runtime=runtime,
        id=f"{runtime}-{slot}",
        name=instance_name(INSTANCE, KEY, slot),
        state=state,
        limits=limits or Limits(wanted.memory, wanted.cpu, wanted.pids),
        template=made_from.template,
        created_at=NOW - ran - 1,
        started_at=started,
        exit=exit,
        pid=4242 if state in (InstanceState.RUNNING, InstanceState.PAUSED) else None,
        has_process=has_process,
    )


def ended(
    code: int = 0, *, ago: float = 0.0, signal: int | None = None, oom: bool = False, engine_restarted: bool = False
) -> Exit:
    """How a main process ended."""
    return Exit(code, signal, oom, NOW - ago, engine_restarted)


@dataclass(frozen=True)
class Given:
    """A situation, built up by its methods; each returns a new one."""

    wanted: Desired | None = None
    known: Record | None = None
    observed: tuple[Observed, ...] = ()
    capabilities: dict[str, Capabilities] = field(default_factory=lambda: {"docker": DOCKER, "directory": DIRECTORY})
    holds: tuple[Hold, ...] = ()
    rest: dict[str, Any] = field(default_factory=dict)
    now: float = NOW

    def desired(self, **spec: Any) -> Given:
        """A manifest declares it with this spec; where it was known before, this is an edit."""
        wanted = desired(**spec)
        known = self.known or (accepted(wanted, NOW - 600) if self.known is None else None)
        return replace(self, wanted=wanted, known=accept(known, wanted, "uid-1", NOW - 600))

    def undeclared(self) -> Given:
        """No file declares it any more."""
        return replace(self, wanted=None)

    def record(self, **changes: Any) -> Given:
        """What is remembered, beside what was accepted."""
        assert self.known is not None, "say what is desired first"
        return replace(self, known=replace(self.known, **changes))

    def settled(self) -> Given:
        """It has run as wanted: its record is that of a Ready sandbox."""
        assert self.wanted is not None
        (seen,) = self.observed
        applied = self.wanted.spec.limits
        return self.record(runtime=seen.runtime, instance_id=seen.id, applied=applied, ready_once=True)

    def seen(self, *observed: Observed) -> Given:
        """Instances that the runtimes see."""
        return replace(self, observed=(*self.observed, *observed))

    def running(self, **how: Any) -> Given:
        """An instance made from what is wanted runs, and it has been Ready."""
        assert self.wanted is not None
        return self.seen(instance(self.wanted, **how)).settled()

    def exited(self, code: int = 0, *, ran: float = 60.0, **how: Any) -> Given:
        """The instance has just ended."""
        assert self.wanted is not None
        seen = instance(self.wanted, InstanceState.EXITED, ran=ran, exit=ended(code, **how))
        return self.seen(seen).settled()

    def held(self, type_: HoldType, cause: str, value: int | None = None) -> Given:
        """A hold on it."""
        return replace(self, holds=(*self.holds, Hold(KEY, type_, cause, NOW - 5, 1, value)))

    def asked(self, verb: str, cause: str) -> Given:
        """An intent against it."""
        return self.but(intent=Intent(verb, cause))

    def away(self, runtime: str = "docker") -> Given:
        """A runtime that does not answer; its instances are not seen."""
        able = replace(
            self.capabilities[runtime], available=False, reason="EngineDown", message="dockerd is not running"
        )
        seen = tuple(one for one in self.observed if one.runtime != runtime)
        return replace(self, capabilities={**self.capabilities, runtime: able}, observed=seen)

    def able(self, runtime: str = "docker", **changes: Any) -> Given:
        """What a runtime can do."""
        able = replace(self.capabilities[runtime], **changes)
        return replace(self, capabilities={**self.capabilities, runtime: able})

    def but(self, **changes: Any) -> Given:
        """Other fields of the view."""
        return replace(self, rest={**self.rest, **changes})

    def later(self, seconds: float) -> Given:
        """So much later."""
        return replace(self, now=self.now + seconds)

    def view(self) -> View:
        """What the planner is given."""
        assert self.known is not None, "say what is desired first"
        return View(
            INSTANCE, KEY, self.wanted, self.known, self.observed, self.capabilities, self.now, self.holds, **self.rest
        )

    def plan(self) -> Plan:
        """The plan."""
        return plan_sandbox(self.view())

    def text(self) -> str:
        """The plan as text."""
        return text_of(self.plan())


def given() -> Given:
    """Nothing is known."""
    return Given()


def text_of(plan: Plan) -> str:
    """An operation a line without the key, which is always the same, then the verdict."""
    operations = [str(operation).replace(f" {KEY}", f" {operation.target}".rstrip()) for operation in plan.operations]
    return "\n".join([*operations, verdict_text(plan.verdict)])


def verdict_text(verdict: Verdict) -> str:
    """`= Running, ready: Running` with what else there is to say."""
    ready = "ready" if verdict.ready else "not ready"
    parts = [f"= {verdict.phase}, {ready}: {verdict.reason}" + (f" ({verdict.message})" if verdict.message else "")]
    if verdict.suspended:
        parts.append("suspended")
    if verdict.finished:
        parts.append(f"finished {verdict.finished}")
    if verdict.degraded:
        parts.append("degraded {}: {}".format(*verdict.degraded))
    if verdict.accepted:
        parts.append("refused {}: {}".format(*verdict.accepted))
    return "; ".join(parts)


def lines(*expected: str) -> str:
    """Expected lines as a text."""
    return "\n".join(expected)
