"""The loop on a virtual clock: real planner, stores and workspaces; runtimes and source in memory."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.loop.daemon import recall, waker
from controller.loop.pulse import Identity
from controller.loop.resync import Resync
from controller.loop.wiring import Loop, Seams, wire
from controller.loop.world import Entry, World
from controller.model.conditions import ConditionType, condition_of
from controller.model.identity import Key, digest_of, sandbox_key
from controller.model.manifest import Document, Snapshot
from controller.model.status import Phase
from controller.report.holds import JsonHoldStore
from controller.report.store import SqliteStore
from controller.resolve.defaults import ResolveSettings
from controller.resolve.resolver import resolve
from controller.runtime.workspace import WorkspaceFolder
from tests.loop.memory import CountingRecorder, MemoryRuntime, MemorySource
from tests.support.clock import FakeClock


def document(name: str, **spec: Any) -> Document:
    """A manifest of that spec."""
    body = {
        "apiVersion": "sandkeeper.dev/v1alpha1",
        "kind": "Sandbox",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"image": "busybox:latest", **spec},
    }
    return Document(sandbox_key("default", name), body, f"{name}.yaml", 1, digest_of(body))


@dataclass
class Harness:
    """One daemon's loop; `restart` begins another on the same state folder and runtimes."""

    state_dir: Path
    clock: FakeClock = field(default_factory=FakeClock)
    source: MemorySource = field(default_factory=MemorySource)
    recorder: CountingRecorder = field(default_factory=CountingRecorder)

    def __post_init__(self) -> None:
        self.store = self._open_store()
        self.docker = MemoryRuntime(self.clock)
        self.directory = MemoryRuntime(self.clock, name="directory")
        self.restart()

    def restart(self) -> None:
        """Begin as a daemon does: recall, then take in the manifests."""
        self.store.close()
        self.world = World()
        self.store = self._open_store()
        hold_store = JsonHoldStore(self.state_dir / "holds.json", self.clock)
        recall(self.world, self.store, hold_store)
        self.workspaces = WorkspaceFolder(self.state_dir, self.clock)
        self.loop: Loop = wire(
            Seams(
                identity=Identity("test", "0", "manifests", self.clock.now()),
                world=self.world,
                source=self.source,
                resolve=lambda document: resolve(document, ResolveSettings()),
                runtimes={"docker": self.docker, "directory": self.directory},
                workspaces=self.workspaces,
                store=self.store,
                hold_store=hold_store,
                recorder=self.recorder,
                clock=self.clock,
                rng=random.Random(7),
            )
        )
        for runtime in (self.docker, self.directory):
            Resync(runtime, self.world, self.loop.queue.add).first_list()
            runtime.watch(waker(runtime.name, self.world, self.loop.queue.add))
        self.source.start(self.loop.intake.receive)

    def _open_store(self) -> SqliteStore:
        return SqliteStore(self.state_dir / "state.db", self.clock)

    def declare(self, *documents: Document) -> None:
        """The folder now holds these manifests; the loop does what follows."""
        self.source.deliver(Snapshot({each.key: each for each in documents}, synced=True))
        self.settle()

    def settle(self) -> None:
        """Work until nothing is ready."""
        for _ in range(200):
            if not self.loop.workers.work_once():
                return
        raise AssertionError("the loop does not come to rest")

    def advance(self, seconds: float) -> None:
        """Let time pass, working on what comes due."""
        self.settle()
        end = self.clock.monotonic() + seconds
        while (due := self.loop.queue.next_due()) is not None and due <= end:
            self.clock.advance(max(0.0, due - self.clock.monotonic()))
            self.settle()
        self.clock.advance(end - self.clock.monotonic())
        self.settle()

    def wake(self, name: str) -> None:
        """Something happened to the sandbox."""
        self.loop.queue.add(sandbox_key("default", name))
        self.settle()

    def entry(self, name: str) -> Entry:
        """What is known of a sandbox."""
        entry = self.world.entry(sandbox_key("default", name))
        assert entry is not None, f"nothing is known of {name}"
        return entry

    def phase(self, name: str) -> Phase:
        """Its phase."""
        status = self.entry(name).status
        assert status is not None
        return status.phase

    def condition(self, name: str, type_: ConditionType) -> tuple[str, str]:
        """A condition's status and reason."""
        status = self.entry(name).status
        assert status is not None
        condition = condition_of(status.conditions, type_)
        assert condition is not None
        return condition.status, condition.reason

    def events(self, name: str) -> list[str]:
        """The reasons of its events."""
        return [event.reason for event in self.store.events(sandbox_key("default", name))]

    def key(self, name: str) -> Key:
        """Its key."""
        return sandbox_key("default", name)
