"""One tick: measure what runs, enforce, publish. No engine call and no disk walk for any sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

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
        running = [(key, entry, seen) for key, entry in self._world.entries().items() if (seen := entry.running)]
        usages = self._measure([seen for _, _, seen in running])
        measured = list(self._matched(running, usages))
        by_key = {one.key: one.usage for one in measured}
        self._world.measured(by_key)
        self._enforcer.enforce(measured, {name: runtime.capabilities() for name, runtime in self._runtimes.items()})
        self._publish(by_key)

    def _measure(self, running: Sequence[Observed]) -> Mapping[str, Usage]:
        by_runtime: dict[str, list[Observed]] = {}
        for seen in running:
            by_runtime.setdefault(seen.runtime, []).append(seen)
        usages: dict[str, Usage] = {}
        for name, instances in by_runtime.items():
            try:
                usages.update(self._runtimes[name].usage(instances))
            except SandkeeperError as exc:
                log.warning("usage_unread", runtime=name, error=str(exc))
        return usages

    def _matched(
        self, running: Sequence[tuple[Key, Entry, Observed]], usages: Mapping[str, Usage]
    ) -> Iterator[Measured]:
        declared = self._world.declared()
        for key, entry, seen in running:
            desired, usage = declared.get(key), usages.get(seen.id)
            if desired is not None and usage is not None:
                yield Measured(key, entry, desired, seen, usage)
