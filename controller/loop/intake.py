"""Turns the manifests' snapshots into what is wanted, and wakes the keys that a change concerns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

import structlog

from controller.model.identity import Key
from controller.model.manifest import Document, Snapshot
from controller.model.spec import Desired
from controller.plan.dependencies import dependents_of, entangled

from .world import World

log = structlog.get_logger(__name__)


class Intake:
    """Receives snapshots one at a time. A document is resolved again only where it changed."""

    def __init__(self, world: World, resolve: Callable[[Document], Desired], wake: Callable[[Key], None]) -> None:
        self._world = world
        self._resolve = resolve
        self._wake = wake
        self._dismissed: frozenset[Key] = frozenset()
        self._lock = threading.Lock()

    def receive(self, snapshot: Snapshot) -> None:
        """Take in a snapshot."""
        with self._lock:
            self._receive(snapshot)

    def dismiss(self, key: Key) -> None:
        """Treat a sandbox whose removal the prune guard holds back as gone."""
        with self._lock:
            self._dismissed |= {key}
            self._receive(self._world.snapshot())

    def _receive(self, snapshot: Snapshot) -> None:
        first = not self._world.told.is_set()
        before, old = self._world.declared(), self._world.snapshot()
        self._dismissed &= snapshot.prune.keys if snapshot.prune else frozenset()
        documents = {key: document for key, document in snapshot.documents.items() if key not in self._dismissed}
        desired: dict[Key, Desired] = {}
        for key, document in documents.items():
            known = before.get(key) if _same(old.documents.get(key), document) else None
            wanted = known or self._resolved(document)
            if wanted is not None:
                desired[key] = wanted
        self._world.declare(snapshot, desired, retained=frozenset(documents) - frozenset(desired))
        if first:
            concerned = self._world.all_keys()
        else:
            concerned = _concerned(before, desired) | _entangled(before, desired) | self._departing(before, desired)
        for key in concerned.union(_restaled(old, snapshot), old.documents.keys() ^ snapshot.documents.keys()):
            self._wake(key)

    def _departing(self, before: Mapping[Key, Desired], after: Mapping[Key, Desired]) -> frozenset[Key]:
        """Those on their way out, where one that they may have waited for is declared again."""
        if after.keys() <= before.keys():
            return frozenset()
        return self._world.all_keys() - after.keys()

    def _resolved(self, document: Document) -> Desired | None:
        """None where it cannot be made out: one that was kept from another version."""
        try:
            return self._resolve(document)
        except Exception:  # one document's bug must not hold up all others; what runs is kept
            log.exception("document_unresolved", sandbox=str(document.key))
            return None


def _same(old: Document | None, new: Document) -> bool:
    if old is new:
        return True
    return old is not None and (old.digest, old.file, old.line) == (new.digest, new.file, new.line)


def _concerned(before: Mapping[Key, Desired], after: Mapping[Key, Desired]) -> frozenset[Key]:
    """The keys that came, went or changed, and those that depend on one that came or went."""
    concerned = _edited(before, after)
    arrived_or_left = before.keys() ^ after.keys()
    return concerned.union(*(dependents_of(key, after) for key in arrived_or_left))


def _edited(before: Mapping[Key, Desired], after: Mapping[Key, Desired]) -> frozenset[Key]:
    return frozenset(key for key in before.keys() | after.keys() if before.get(key) is not after.get(key))


def _entangled(before: Mapping[Key, Desired], after: Mapping[Key, Desired]) -> frozenset[Key]:
    """Those that are told of a cycle, or were, where there may be others now."""
    if all(_needs(before.get(key)) == _needs(after.get(key)) for key in _edited(before, after)):
        return frozenset()
    return entangled(before) | entangled(after)


def _needs(desired: Desired | None) -> tuple[Key, ...]:
    return desired.spec.lifecycle.depends_on if desired else ()


def _restaled(old: Snapshot, new: Snapshot) -> Iterator[Key]:
    for key in old.stale.keys() | new.stale.keys():
        if old.stale.get(key) != new.stale.get(key):
            yield key
