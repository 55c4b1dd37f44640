"""Turns the manifests' snapshots into what is wanted, and wakes the keys that a change concerns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

import structlog

from controller.model.identity import Key
from controller.model.manifest import Document, Snapshot
from controller.model.spec import Desired
from controller.plan.dependencies import dependents_of

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
        concerned = self._world.all_keys() if first else frozenset(_concerned(before, desired))
        for key in concerned.union(_restaled(old, snapshot)):
            self._wake(key)

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


def _concerned(before: Mapping[Key, Desired], after: Mapping[Key, Desired]) -> Iterator[Key]:
    """The keys that came, went or changed, and those that depend on one that came or went."""
    for key in before.keys() | after.keys():
        if before.get(key) is after.get(key):
            continue
        yield key
        if key not in before or key not in after or _dependencies_differ(before[key], after[key]):
            yield from dependents_of(key, after)


def _dependencies_differ(old: Desired, new: Desired) -> bool:
    return old.spec.lifecycle.depends_on != new.spec.lifecycle.depends_on


def _restaled(old: Snapshot, new: Snapshot) -> Iterator[Key]:
    for key in old.stale.keys() | new.stale.keys():
        if old.stale.get(key) != new.stale.get(key):
            yield key
