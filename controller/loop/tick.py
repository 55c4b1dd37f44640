"""One tick: measure what runs, enforce, publish. No engine call and no disk walk for any sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from controller.model.errors import SandkeeperError
from controller.model.identity import Key
from controller.model.observed import Observed, Usage
from controller.runtime.protocol import Runtime

from .enforcer import Enforcer, Measured
from .jumps import JumpWatch
from .world import Entry, World

log = structlog.get_logger(__name__)


class Tick:
    """Measures and enforces everything that runs."""

    def __init__(
        self,
        world: World,
        runtimes: Mapping[str, Runtime],
        enforcer: Enforcer,
        publish: Callable[[Mapping[Key, Usage]], None],
        jumps: JumpWatch,
    ) -> None:
        self._world = world
        self._runtimes = runtimes
        self._enforcer = enforcer
        self._publish = publish
        self._jumps = jumps

    def run(self) -> None:
        """Do one tick. A runtime that fails is logged and left out; the others go on."""
        self._jumps.look()
        running = {key: entry for key, entry in self._world.entries().items() if entry.running}
        usages = self._measure(running)
        measured = list(self._matched(running, usages))
        by_key = {one.key: one.usage for one in measured}
        self._world.measured(by_key)
        self._enforcer.enforce(measured, {name: runtime.capabilities() for name, runtime in self._runtimes.items()})
        self._publish(by_key)

    def _measure(self, running: Mapping[Key, Entry]) -> Mapping[str, Usage]:
        by_runtime: dict[str, list[Observed]] = {}
        for entry in running.values():
            if entry.running is not None:
                by_runtime.setdefault(entry.running.runtime, []).append(entry.running)
        usages: dict[str, Usage] = {}
        for name, instances in by_runtime.items():
            try:
                usages.update(self._runtimes[name].usage(instances))
            except SandkeeperError as exc:
                log.warning("usage_unread", runtime=name, error=str(exc))
        return usages

    def _matched(self, running: Mapping[Key, Entry], usages: Mapping[str, Usage]) -> list[Measured]:
        declared = self._world.declared()
        matched = []
        for key, entry in running.items():
            instance, desired = entry.running, declared.get(key)
            usage = usages.get(instance.id) if instance else None
            if instance is not None and desired is not None and usage is not None:
                matched.append(Measured(key, entry, desired, instance.id, usage))
        return matched
