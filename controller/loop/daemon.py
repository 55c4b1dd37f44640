"""The daemon's life: what is started in which order, and how it ends. Sandboxes outlive it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from controller.model.clock import Clock
from controller.model.identity import API_VERSION, Key
from controller.model.manifest import Document
from controller.model.record import Record
from controller.report.protocol import HoldStore, StateStore
from controller.runtime.protocol import Runtime, SkillFiles, Workspaces
from controller.source.protocol import ManifestSource

from .intake import Intake
from .outlook import concerned_runtimes
from .pulse import Pulse
from .queue import WorkQueue
from .resync import Resync
from .skill_usage import SkillUsage
from .ticker import Ticker
from .workers import Workers
from .world import Entry, World

log = structlog.get_logger(__name__)

_RESYNC_SECONDS: Final = 15.0
# What is not done by then, the next daemon finds half done and finishes, as it does after a crash.
_DRAIN_SECONDS: Final = 0.5
_FIRST_SCAN_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Machinery:
    """The daemon's moving parts."""

    world: World
    queue: WorkQueue
    workers: Workers
    source: ManifestSource
    intake: Intake
    pulse: Pulse
    ticker: Ticker
    runtimes: Mapping[str, Runtime]
    workspaces: Workspaces
    skills: SkillFiles
    clock: Clock
    worker_count: int = 4


class Daemon:
    """Starts and stops the machinery."""

    def __init__(self, machinery: Machinery) -> None:
        self._with = machinery
        self._resyncs: list[Ticker] = []

    def start(self) -> None:
        """Look at what runs, read the manifests, then begin to work. Returns once the first scan is done."""
        parts = self._with
        for runtime in parts.runtimes.values():
            resync = Resync(runtime, parts.world, parts.pulse.wake)
            resync.first_list()
            self._resyncs.append(self._every(f"resync-{runtime.name}", resync.run))
        self._resyncs.append(self._every("trash", parts.workspaces.expire))
        skills = SkillUsage(parts.world, parts.runtimes, parts.skills)
        self._resyncs.append(self._every("skills", skills.tidy))
        parts.source.start(parts.intake.receive)
        parts.clock.wait(parts.world.told, _FIRST_SCAN_SECONDS)
        parts.workers.start(parts.worker_count, parts.runtimes)
        for runtime in parts.runtimes.values():
            runtime.watch(waker(runtime.name, parts.world, parts.pulse.wake))
        parts.ticker.start()
        for resync_ticker in self._resyncs:
            resync_ticker.start()

    def stop(self) -> bool:
        """Finish what takes no time, leave the rest to the next daemon, and end; every sandbox goes on.

        False where an operation is still under way, which ends with the process at the latest.
        """
        parts = self._with
        parts.source.stop()
        parts.ticker.stop()
        for resync in self._resyncs:
            resync.stop(timeout=0.1)
        parts.queue.close()
        is_done = parts.workers.join(_DRAIN_SECONDS)
        if not is_done:
            log.info("work_left_over", seconds=_DRAIN_SECONDS)
        for runtime in parts.runtimes.values():
            runtime.close()
        return is_done

    def alive(self) -> bool:
        """True while the workers, the tick and the source live."""
        return self._with.pulse.alive()

    def _every(self, name: str, work: Callable[[], None]) -> Ticker:
        return Ticker(name, _RESYNC_SECONDS, work, self._with.clock, lambda _seconds, _overran: None)


def waker(runtime: str, world: World, wake: Callable[[Key], None]) -> Callable[[Key | None], None]:
    """What a runtime calls when something happened to a key; None: to any that it may have an instance of."""

    def wake_concerned(key: Key | None) -> None:
        if key is not None:
            wake(key)
            return
        for each in world.all_keys():
            if runtime in concerned_runtimes(world, each):
                wake(each)

    return wake_concerned


def recall(world: World, store: StateStore, hold_store: HoldStore) -> None:
    """Fill the world with what the stores remember. Raises StateError."""
    for key, (record, status) in store.load().items():
        world.put(key, Entry(record, status, recalled=True))
    world.set_holds(hold_store.load())


def last_known_good(world: World) -> Mapping[Key, Document]:
    """The documents that the records were made from: what a source serves until it has read better ones."""
    return {
        key: _document(key, entry.record)
        for key, entry in world.entries().items()
        if entry.record.document and not entry.record.reserved
    }


def _document(key: Key, record: Record) -> Document:
    file, _, line = record.origin.rpartition(":")
    body = {"apiVersion": API_VERSION, "kind": key.kind, **record.document}
    return Document(key, body, file, int(line) if line.isdecimal() else 1, digest="", skill=record.skill)
