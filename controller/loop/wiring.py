"""Puts the loop together from its seams, the same way for the daemon and for tests."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from controller.model.cleanup import NO_CLEANUP, CleanupPolicy
from controller.model.clock import Clock
from controller.model.identity import Key
from controller.model.manifest import Document
from controller.model.observed import Usage
from controller.model.spec import Desired, SecretRef
from controller.report.protocol import HoldStore, Recorder, StateStore
from controller.runtime.protocol import Runtime, SkillFiles, Workspaces
from controller.source.protocol import ManifestSource

from .backoff import Backoff
from .collaborators import Collaborators
from .control import Control, Parts
from .daemon import Daemon, Machinery
from .enforcer import Enforcer, Means
from .evidence import Evidence, Redact
from .executor import Executor
from .holding import Holds
from .intake import Intake
from .journal import Journal
from .jumps import JumpWatch
from .outlook import Outlook, lane_of
from .pulse import Identity, Pulse
from .queue import WorkQueue
from .reconciler import Reconciler
from .tick import Tick
from .ticker import Ticker
from .workers import Workers
from .world import World


def _ignore(_: Mapping[Key, Usage]) -> None:
    """Nobody is told of measurements."""


def _as_it_is(_: Sequence[SecretRef], text: str) -> str:
    return text


class _NoSkills:
    """Where no manifest names a skill."""

    def collect(self, used: Collection[str]) -> None:
        """Nothing is kept."""


@dataclass(frozen=True, slots=True)
class Seams:
    """What the loop is built on. `publish` is told each tick's measurements; `tick` is in seconds.

    `redact` is given each log tail that is kept, with the secrets of the sandbox that wrote it.
    """

    identity: Identity
    world: World
    source: ManifestSource
    resolve: Callable[[Document], Desired]
    runtimes: Mapping[str, Runtime]
    workspaces: Workspaces
    store: StateStore
    hold_store: HoldStore
    recorder: Recorder
    clock: Clock
    publish: Callable[[Mapping[Key, Usage]], None] = _ignore
    redact: Redact = _as_it_is
    skills: SkillFiles = field(default_factory=_NoSkills)
    tick: float = 2.0
    workers: int = 4
    new_uid: Callable[[], str] = field(default=lambda: str(uuid.uuid4()))
    cleanup: CleanupPolicy = NO_CLEANUP
    rng: random.Random = field(default_factory=random.Random)


@dataclass(frozen=True, slots=True)
class Loop:
    """The loop, put together."""

    daemon: Daemon
    control: Control
    queue: WorkQueue
    workers: Workers
    tick: Tick
    intake: Intake


def wire(seams: Seams) -> Loop:
    """Put the loop together. Starts nothing."""
    queue, backoff = WorkQueue(seams.clock, lane_of(seams.world)), Backoff(seams.rng)
    journal = Journal(seams.store, seams.clock)
    holds = Holds(seams.world, seams.hold_store, journal)
    evidence = Evidence(seams.runtimes, journal, seams.clock, seams.redact)
    outlook = Outlook(seams.identity.instance, seams.world, seams.runtimes, seams.clock, seams.new_uid, seams.cleanup)
    executor = Executor(seams.runtimes, seams.workspaces, seams.recorder, seams.clock)
    reconciler = Reconciler(
        Collaborators(
            world=seams.world,
            outlook=outlook,
            executor=executor,
            journal=journal,
            holds=holds,
            evidence=evidence,
            recorder=seams.recorder,
            workspaces=seams.workspaces,
            runtimes=seams.runtimes,
            clock=seams.clock,
            wake=queue.add,
        )
    )
    workers = Workers(queue, reconciler, backoff, seams.recorder, seams.clock)
    executor.aside = workers.aside
    intake = Intake(seams.world, seams.resolve, queue.add)
    enforcer = Enforcer(Means(seams.world, evidence, journal, holds, seams.recorder, seams.clock, queue.add))
    jumps = JumpWatch(seams.clock, lambda: queue.add_all(seams.world.all_keys()))
    tick = Tick(seams.world, seams.runtimes, enforcer, seams.publish, jumps)
    ticker = Ticker("tick", seams.tick, tick.run, seams.clock, seams.recorder.ticked)
    vital = workers, ticker, seams.source
    pulse = Pulse(seams.identity, queue, backoff, lambda: all(part.alive() for part in vital))
    daemon = Daemon(
        Machinery(
            world=seams.world,
            queue=queue,
            workers=workers,
            source=seams.source,
            intake=intake,
            pulse=pulse,
            ticker=ticker,
            runtimes=seams.runtimes,
            workspaces=seams.workspaces,
            skills=seams.skills,
            clock=seams.clock,
            worker_count=seams.workers,
        )
    )
    control = Control(
        Parts(
            world=seams.world,
            outlook=outlook,
            journal=journal,
            holds=holds,
            store=seams.store,
            source=seams.source,
            intake=intake,
            workspaces=seams.workspaces,
            runtimes=seams.runtimes,
            pulse=pulse,
            clock=seams.clock,
        )
    )
    return Loop(daemon, control, queue, workers, tick, intake)
