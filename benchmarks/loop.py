"""The real loop over many sandboxes whose instances are only remembered, to measure the loop and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.manifests import container
from benchmarks.waiting import until
from controller.loop.pulse import Identity
from controller.loop.wiring import Loop, Seams, wire
from controller.loop.world import World
from controller.model.clock import SystemClock
from controller.model.identity import Key, Owner
from controller.model.manifest import Document, Snapshot
from controller.model.observed import Observed, Usage
from controller.model.spec import Desired
from controller.report.holds import JsonHoldStore
from controller.report.metrics import Metrics
from controller.report.store import SqliteStore
from controller.report.usage_history import UsageHistory
from controller.resolve.admission import admit
from controller.resolve.defaults import ResolveSettings
from controller.resolve.resolver import resolve
from controller.runtime.workspace import WorkspaceFolder
from controller.source.documents import ManifestText, Rules, read_documents
from controller.source.host_paths import HostPathRules
from controller.source.kinds import default_kinds
from tests.loop.memory import MemoryRuntime, MemorySource


class RememberedRuntime(MemoryRuntime):
    """Instances with an id and a pid of their own, measured by whatever `meter` is set to."""

    def __init__(self, clock: SystemClock) -> None:
        super().__init__(clock)
        self.meter: Callable[[Sequence[Observed]], Mapping[str, Usage]] = lambda _: {}

    def create(self, desired: Desired, owner: Owner) -> str:
        seen = self.instances.pop(super().create(desired, owner))
        pid = 1_000_000_000 + len(self.calls)  # the kernel gives no such pid
        self.instances[seen.name] = replace(seen, id=seen.name, pid=pid)
        return seen.name

    def start(self, target: str) -> None:
        pid = self.instances[target].pid
        super().start(target)
        self.instances[target] = replace(self.instances[target], pid=pid)

    def usage(self, instances: Sequence[Observed]) -> Mapping[str, Usage]:
        return self.meter(instances)


@dataclass(frozen=True, slots=True)
class LoopOf:
    """A loop in which every sandbox is Ready, and its parts. Nothing runs by itself: call `tick.run`, `work_off`."""

    loop: Loop
    world: World
    runtime: RememberedRuntime
    workspaces: WorkspaceFolder
    metrics: Metrics
    keys: tuple[Key, ...]

    def work_off(self) -> None:
        """Work until no key is ready."""
        while self.loop.workers.work_once():
            pass


@contextmanager
def loop_of(count: int, state_dir: Path) -> Iterator[LoopOf]:
    """The loop with so many container sandboxes, all Ready."""
    clock, world, source = SystemClock(), World(), MemorySource()
    store = SqliteStore(state_dir / "state.db", clock)
    history = UsageHistory()
    metrics = Metrics("0", ("docker",), history)
    runtime, workspaces = RememberedRuntime(clock), WorkspaceFolder(state_dir, clock)

    loop = wire(
        Seams(
            identity=Identity("benchmark", "0", "manifests", clock.now()),
            world=world,
            source=source,
            resolve=lambda document: resolve(document, ResolveSettings()),
            runtimes={"docker": runtime},
            workspaces=workspaces,
            store=store,
            hold_store=JsonHoldStore(state_dir / "holds.json", clock),
            recorder=metrics,
            clock=clock,
            publish=history.observe,
        )
    )
    source.present = _snapshot(count)
    source.start(loop.intake.receive)
    made = LoopOf(loop, world, runtime, workspaces, metrics, tuple(source.present.documents))

    def all_ready() -> bool:
        made.work_off()
        return all(world.is_ready(key) for key in made.keys)

    try:
        until(all_ready, f"{count} sandboxes in memory are Ready", 120)
        yield made
    finally:
        store.close()


def _snapshot(count: int) -> Snapshot:
    settings = ResolveSettings()
    rules = Rules(
        default_kinds(), lambda body, skill: admit(body, settings, skill), HostPathRules(Path("/nonexistent"))
    )
    documents: dict[Key, Document] = {}
    for number in range(count):
        name = f"s{number:04}"
        content = read_documents(ManifestText(container(name), f"{name}.yaml", Path("/nonexistent")), rules)
        documents.update(content.documents)
    return Snapshot(documents, synced=True)
