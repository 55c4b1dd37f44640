"""The backstop behind events: one list call a runtime now and then, compared with what is believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from controller.model.errors import RuntimeFailure, StateError
from controller.model.identity import Key
from controller.model.observed import Observed
from controller.runtime.protocol import Runtime

from .world import World

log = structlog.get_logger(__name__)


class Resync:
    """Lists one runtime and wakes the keys whose instances are not as believed. Each runtime has one, in a thread of
    its own: a hung engine holds up nobody else."""

    def __init__(self, runtime: Runtime, world: World, wake: Callable[[Key], None]) -> None:
        self._runtime = runtime
        self._world = world
        self._wake = wake
        self._was_available: bool | None = None

    def run(self) -> None:
        """One comparison; also wakes everything of a runtime that came or went."""
        able = self._runtime.capabilities()
        if able.available is not self._was_available:
            self._was_available = able.available
            name = "runtime_available" if able.available else "runtime_away"
            log.info(name, runtime=self._runtime.name, reason=able.reason, message=able.message)
            for key in self._world.all_keys():
                self._wake(key)
        if not able.available:
            return
        try:
            listed = self._runtime.list()
        except RuntimeFailure as exc:
            log.warning("list_failed", runtime=self._runtime.name, error=str(exc))
            return
        self._compare(listed)
        self._collect_garbage()

    def first_list(self) -> None:
        """The list at start: instances whose manifest and record are gone become known."""
        if not self._runtime.capabilities().available:
            return
        try:
            listed = self._runtime.list()
        except RuntimeFailure as exc:
            log.warning("list_failed", runtime=self._runtime.name, error=str(exc))
            return
        self._world.list_of(self._runtime.name, frozenset(seen.owner.key for seen in listed))

    def _compare(self, listed: Sequence[Observed]) -> None:
        name = self._runtime.name
        seen: dict[Key, set[tuple[str, str]]] = {}
        for instance in listed:
            seen.setdefault(instance.owner.key, set()).add((instance.id, instance.state))
        self._world.list_of(name, frozenset(seen))
        believed = {
            key: {(instance.id, instance.state) for instance in entry.observed if instance.runtime == name}
            for key, entry in self._world.entries().items()
        }
        for key in seen.keys() | believed.keys():
            if seen.get(key, set()) != believed.get(key, set()):
                self._wake(key)

    def _collect_garbage(self) -> None:
        try:
            self._runtime.collect_garbage(self._wanted)
        except (RuntimeFailure, StateError) as exc:
            log.warning("garbage_left", runtime=self._runtime.name, error=str(exc))

    def _wanted(self, key: Key) -> bool:
        return key in self._world.declared() or self._world.entry(key) is not None
