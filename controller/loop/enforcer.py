"""Acts on what a tick measured: a violation becomes an event, a count, and a hold or a kill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controller.model.clock import Clock
from controller.model.hold import Hold, HoldType
from controller.model.identity import Key
from controller.model.observed import Capabilities, Observed, Usage
from controller.model.record import Intent
from controller.model.spec import Action, Desired
from controller.plan.enforcement import Rules, Violation, assess, throttled_cpu
from controller.plan.limits import applied_limits, lowered, throttled_to
from controller.plan.window import Window
from controller.report.protocol import Recorder

from .evidence import Evidence
from .holding import Holds
from .journal import Journal
from .world import Entry, World

_HOLDS = {Action.PAUSE: HoldType.PAUSED, Action.STOP: HoldType.STOPPED}


@dataclass(frozen=True, slots=True)
class Measured:
    """One running sandbox and its measurement."""

    key: Key
    entry: Entry
    desired: Desired
    seen: Observed
    usage: Usage


@dataclass(frozen=True, slots=True)
class Means:
    """What enforcement works with."""

    world: World
    evidence: Evidence
    journal: Journal
    holds: Holds
    recorder: Recorder
    clock: Clock
    wake: Callable[[Key], None]


class Enforcer:
    """Enforces limits on measurements; called by the tick alone."""

    def __init__(self, means: Means) -> None:
        self._with = means
        self._world = means.world
        self._evidence = means.evidence
        self._holds = means.holds

    def enforce(self, measured: list[Measured], capabilities: Mapping[str, Capabilities]) -> None:
        """Assess each measurement and act on what it shows."""
        self._holds.save_again()
        for one in measured:
            run = one.seen.run
            window = self._evidence.window(one.seen.id).during(run)
            assessment = assess(window, one.usage, self._rules(one, capabilities))
            if not self._evidence.remember(one.seen.id, run, assessment.window):
                continue
            for violation in assessment.violations:
                self._act(one, violation, assessment.window, capabilities)
            if assessment.release_throttle:
                self._release_throttle(one.key)
        known = self._evidence.instances()  # first: what begins while we look is none of those that are gone
        self._evidence.forget(known.difference(self._created(), (one.seen.id for one in measured)))

    def _created(self) -> frozenset[str]:
        """Those seen, and those made a moment ago and not seen yet."""
        entries = self._world.entries().values()
        seen = frozenset(seen.id for entry in entries for seen in entry.observed)
        return seen.union(entry.record.instance_id for entry in entries)

    def _rules(self, one: Measured, capabilities: Mapping[str, Capabilities]) -> Rules:
        able = capabilities.get(one.seen.runtime)
        limits = applied_limits(one.entry.record, one.desired.spec.limits)
        limits = lowered(limits, able.max_cpu if able else 0, None)
        return Rules(limits, one.desired.spec.enforcement, throttled_to(self._world.holds(one.key)))

    def _act(
        self, one: Measured, violation: Violation, window: Window, capabilities: Mapping[str, Capabilities]
    ) -> None:
        action = self._possible(one, violation, capabilities)
        reason = "LimitExceeded" if violation.exceeded else "LimitNear"
        self._with.journal.event(one.key, reason, f"{violation.message}; action {action}", warning=True)
        self._with.recorder.violated(one.key, str(violation.resource), str(action))
        if action is Action.WARN:
            return
        if action is Action.KILL:
            self._world.intend(one.key, Intent("kill", violation.message, violation.samples, one.seen.run))
        else:
            self._hold(one, violation, action, window)
        self._with.wake(one.key)

    def _possible(self, one: Measured, violation: Violation, capabilities: Mapping[str, Capabilities]) -> Action:
        able = capabilities.get(one.seen.runtime)
        if violation.action is Action.THROTTLE and (able is None or not able.throttle):
            return Action.WARN
        if violation.action is Action.PAUSE and (able is None or not able.freeze):
            return Action.STOP
        return violation.action

    def _hold(self, one: Measured, violation: Violation, action: Action, window: Window) -> None:
        throttle = action is Action.THROTTLE
        hold = Hold(
            key=one.key,
            type=HoldType.THROTTLED if throttle else _HOLDS[action],
            cause=violation.message,
            since=self._with.clock.now(),
            generation=one.entry.record.generation,
            value=throttled_cpu(one.desired.spec.limits.cpu, window.cpu_rate or 0.0) if throttle else None,
            resolved_hash=one.entry.record.resolved_hash,
        )
        self._holds.impose(hold)

    def _release_throttle(self, key: Key) -> None:
        if self._holds.release(key, lambda hold: hold.type is HoldType.THROTTLED):
            self._with.journal.event(key, "Released", "Throttled was released: cpu usage fell")
            self._with.wake(key)
