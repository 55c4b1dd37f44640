"""Waking keys, and whether the loop lives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from controller.model.identity import Key
from controller.model.observed import Capabilities
from controller.report.protocol import DaemonInfo

from .backoff import Backoff
from .queue import WorkQueue
from .world import World


@dataclass(frozen=True, slots=True)
class Identity:
    """What a daemon says of itself."""

    instance: str
    version: str
    manifests: str
    started_at: float


class Pulse:
    """The queue's front door, and the daemon's vital signs."""

    def __init__(self, identity: Identity, queue: WorkQueue, backoff: Backoff, alive: Callable[[], bool]) -> None:
        self._identity = identity
        self._queue = queue
        self._backoff = backoff
        self._alive = alive

    def wake(self, key: Key) -> None:
        """Have the key looked at."""
        self._queue.add(key)

    def wake_now(self, key: Key) -> None:
        """Have the key looked at, its backoff forgotten."""
        self._backoff.forget(key)
        self._queue.add(key)

    def alive(self) -> bool:
        """True while the workers, the tick and the source live."""
        return self._alive()

    def info(self, world: World, capabilities: Mapping[str, Capabilities], troubles: Sequence[str]) -> DaemonInfo:
        """The daemon as a whole. `troubles` are faults beside those of manifests; empty ones are none."""
        snapshot = world.snapshot()
        prune = snapshot.prune
        refused = {fault.file for fault in snapshot.faults if not fault.warning}
        return DaemonInfo(
            instance=self._identity.instance,
            version=self._identity.version,
            manifests=self._identity.manifests,
            started_at=self._identity.started_at,
            alive=self._alive(),
            synced=snapshot.synced,
            runtimes=tuple(capabilities.values()),
            faults=(*map(str, snapshot.faults), *filter(None, troubles)),
            prune_reason=prune.reason if prune else "",
            prune_hash=prune.hash if prune else "",
            prune_keys=tuple(sorted(f"{key.namespace}/{key.name}" for key in prune.keys)) if prune else (),
            queue_depth=self._queue.depth(),
            manifests_good=len(snapshot.documents) - len(snapshot.stale),
            manifests_stale=len(snapshot.stale),
            manifests_refused=len(refused),
        )
