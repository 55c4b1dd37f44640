"""Builds the view that a plan is made from: what is wanted, remembered, held and seen of one key, read now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from controller.model.cleanup import NO_CLEANUP, CleanupPolicy
from controller.model.clock import Clock
from controller.model.errors import EngineTimeoutError, EngineUnavailableError
from controller.model.identity import Key
from controller.model.observed import Capabilities, Observed
from controller.model.record import Record
from controller.model.spec import Desired, Isolation
from controller.plan.acceptance import accept, identified
from controller.plan.cast import RUNTIME_OF
from controller.plan.dependencies import cycle_of, departing_dependents, waiting_for
from controller.plan.reach import may_hold
from controller.plan.restoring import reserved_by
from controller.plan.view import View
from controller.resolve.parse import dependency_key
from controller.runtime.protocol import RuntimeReader

from .world import World


@dataclass(frozen=True, slots=True)
class Seen:
    """The instances of a key, and the runtimes that could not be asked."""

    observed: tuple[Observed, ...]
    unseen: frozenset[str]


class Outlook:
    """Looks at the world and the runtimes; it can only read."""

    def __init__(
        self,
        instance: str,
        world: World,
        runtimes: Mapping[str, RuntimeReader],
        clock: Clock,
        new_uid: Callable[[], str],
        cleanup: CleanupPolicy = NO_CLEANUP,
    ) -> None:
        self._instance = instance
        self._world = world
        self._runtimes = runtimes
        self._clock = clock
        self._new_uid = new_uid
        self._cleanup = cleanup

    def view(self, key: Key) -> View | None:
        """The view of one key, or None where nothing is known of it or of what is wanted. Raises RuntimeFailure."""
        if not self._world.told.is_set():
            return None
        entry = self._world.entry(key)
        desired = self._world.declared().get(key)
        record = entry.record if entry else None
        seen = self._look(key)
        intent = self._world.intent(key)
        remembered = self._remember(desired, record, seen) or reserved_by(intent, self._clock.now())
        if remembered is None:
            return None
        return View(
            instance=self._instance,
            key=key,
            desired=desired,
            record=remembered,
            observed=seen.observed,
            capabilities=self.capabilities(),
            now=self._clock.now(),
            holds=self._world.holds(key),
            intent=intent,
            unseen=seen.unseen,
            waiting_for=self._waiting_for(desired),
            dependents=() if desired else self._departing_dependents(key),
            cycle=cycle_of(key, self._world.declared()) if desired else "",
            retained=desired is None and self._world.is_retained(key),
            cleanup=self._cleanup,
        )

    def capabilities(self) -> Mapping[str, Capabilities]:
        """What each runtime can do now."""
        return {name: runtime.capabilities() for name, runtime in self._runtimes.items()}

    def _look(self, key: Key) -> Seen:
        observed: list[Observed] = []
        unseen: set[str] = set()
        for name in sorted(concerned_runtimes(self._world, key)):
            runtime = self._runtimes.get(name)
            if runtime is None or not runtime.capabilities().available:
                unseen.add(name)
                continue
            try:
                observed.extend(runtime.inspect(key))
            except (EngineUnavailableError, EngineTimeoutError):
                unseen.add(name)
        return Seen(tuple(observed), frozenset(unseen))

    def _remember(self, desired: Desired | None, record: Record | None, seen: Seen) -> Record | None:
        now = self._clock.now()
        known = identified(record, seen.observed, desired, now)
        if desired is None:
            return known
        accepted = accept(known, desired, self._new_uid(), now)
        if known is None or known.provisional:
            accepted = replace(accepted, provisional=bool(seen.unseen))
        document = self._world.document(desired.key)
        if document is None or (record is not None and record.generation == accepted.generation):
            return accepted
        timings = replace(accepted.timings, saved=document.saved_at or None, seen=document.seen_at or None)
        return replace(accepted, timings=timings)

    def _waiting_for(self, desired: Desired | None) -> tuple[str, ...]:
        if desired is None or not desired.spec.lifecycle.depends_on:
            return ()
        return waiting_for(desired, self._world.declared(), self._world.is_ready)

    def _departing_dependents(self, key: Key) -> tuple[str, ...]:
        """Sandboxes that depended on this one, go as well, and are still there."""
        departing = {
            other: dependencies_in(entry.record, other)
            for other, entry in self._world.entries().items()
            if other not in self._world.declared() and (entry.observed or other == key)
        }
        return tuple(f"{other.namespace}/{other.name}" for other in departing_dependents(key, departing))


def concerned_runtimes(world: World, key: Key) -> frozenset[str]:
    """The runtimes that may have an instance of the key: an engine that hangs holds up nobody else's."""
    concerned = set(world.listing_runtimes(key))
    desired, entry = world.declared().get(key), world.entry(key)
    for wanted in (desired, desired.fallback if desired else None):
        if wanted is not None:
            concerned.add(RUNTIME_OF[wanted.spec.isolation])
    if entry is not None:
        concerned |= may_hold(entry.record)
        concerned |= {seen.runtime for seen in entry.observed}
    return frozenset(concerned)


def lane_of(world: World) -> Callable[[Key], str]:
    """The queue's lanes: a key that concerns no engine is never behind one that does."""

    own = RUNTIME_OF[Isolation.DIRECTORY]

    def lane(key: Key) -> str:
        engines = sorted(concerned_runtimes(world, key) - {own})
        return engines[0] if engines else own

    return lane


def dependencies_in(record: Record, key: Key) -> tuple[Key, ...]:
    """The keys that a remembered document depends on."""
    references = (record.document.get("spec") or {}).get("dependsOn") or ()
    return tuple(dependency_key(str(reference), key.namespace) for reference in references)
