"""A runtime and a source in memory, for tests of the loop alone; the real ones have tests of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller.model.clock import Clock
from controller.model.errors import ConflictError, InstanceNotFoundError, ResizePendingError, SandkeeperError
from controller.model.identity import Key, Owner, instance_name
from controller.model.manifest import Snapshot
from controller.model.observed import (
    Assurance,
    Capabilities,
    ContractRow,
    Exit,
    InstanceState,
    Observed,
    Usage,
)
from controller.model.spec import Desired, Limits, SandboxSpec
from controller.runtime.protocol import ExecRequest, ExecSession, LogStream


class Lines:
    """A log that has ended."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._lines)

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class MemoryRuntime:
    """Keeps instances in a dict. `failures` are raised by the next calls of that name; `calls` is what was done.

    `tell` says that something happened to a key; None: to any.
    """

    clock: Clock
    name: str = "docker"
    available: bool = True
    instances: dict[str, Observed] = field(default_factory=dict)
    usages: dict[str, Usage] = field(default_factory=dict)
    failures: dict[str, list[SandkeeperError]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    forgone: list[Key] = field(default_factory=list)
    graces: list[float] = field(default_factory=list)
    memory_in_use: int = 0
    tell: Callable[[Key | None], None] = lambda _: None

    def fail(self, call: str, failure: SandkeeperError, times: int = 1) -> None:
        """Have the next so many calls of that name raise."""
        self.failures.setdefault(call, []).extend([failure] * times)

    def capabilities(self) -> Capabilities:
        reason, message = ("", "") if self.available else ("EngineDown", "the engine does not answer; start it")
        return Capabilities(
            self.name,
            available=self.available,
            reason=reason,
            message=message,
            updatable=frozenset({"memory", "cpu", "pids"}),
            freeze=True,
            throttle=True,
            max_cpu=64000,
        )

    def list(self) -> Sequence[Observed]:
        self._maybe_fail("list")
        return tuple(self.instances.values())

    def inspect(self, key: Key) -> tuple[Observed, ...]:
        self._maybe_fail("inspect")
        return tuple(seen for seen in self.instances.values() if seen.owner.key == key)

    def prepare(self, desired: Desired) -> None:
        self._called("prepare")

    def forgo(self, key: Key) -> None:
        self.forgone.append(key)

    def create(self, desired: Desired, owner: Owner) -> str:
        self._called("create")
        name = instance_name(owner.instance, owner.key, owner.slot)
        if any(seen.name == name for seen in self.instances.values()):
            raise ConflictError(f"{name} exists")
        identifier = f"{name}/{len(self.calls)}"
        self.instances[identifier] = Observed(
            owner=owner,
            runtime=self.name,
            id=identifier,
            name=name,
            state=InstanceState.CREATED,
            limits=desired.spec.limits,
            template=desired.template,
            created_at=self.clock.now(),
            has_process=self.name != "directory" or bool(desired.spec.command),
        )
        return identifier

    def start(self, target: str) -> None:
        self._called("start")
        pid = 4242 if self._get(target).has_process else None
        self._set(target, state=InstanceState.RUNNING, started_at=self.clock.now(), pid=pid, exit=None)

    def stop(self, target: str, grace: float) -> None:
        self._called("stop")
        self.graces.append(grace)
        if self._get(target).has_process:
            self.end(target, code=143, signal=15)
        else:
            self.end(target, code=0)

    def kill(self, target: str) -> None:
        self._called("kill")
        self.end(target, code=137, signal=9)

    def pause(self, target: str) -> None:
        self._called("pause")
        self._set(target, state=InstanceState.PAUSED)

    def unpause(self, target: str) -> None:
        self._called("unpause")
        self._set(target, state=InstanceState.RUNNING)

    def update(self, target: str, limits: Limits) -> None:
        self._called("update")
        if limits.memory is not None and limits.memory < self.memory_in_use:
            raise ResizePendingError(f"{self.memory_in_use} bytes of memory are in use")
        self._set(
            target, limits=replace(self._get(target).limits, memory=limits.memory, cpu=limits.cpu, pids=limits.pids)
        )

    def remove(self, target: str) -> None:
        self._called("remove")
        self.instances.pop(target, None)

    def exec(self, target: str, request: ExecRequest) -> ExecSession:
        raise ConflictError("nothing runs in memory")

    def logs(self, target: str, tail: int | None = None, follow: bool = False) -> LogStream:
        return Lines([b"the last line\n"])

    def usage(self, instances: Sequence[Observed]) -> Mapping[str, Usage]:
        return {seen.id: self.usages[seen.id] for seen in instances if seen.id in self.usages}

    def contract(self, instance: Observed, spec: SandboxSpec) -> tuple[ContractRow, ...]:
        disk = str(spec.limits.disk)
        return ContractRow("memory", Assurance.ENFORCED, "memory"), ContractRow(
            "disk", Assurance.MEASURED, "walk", disk
        )

    def watch(self, wake: Callable[[Key | None], None]) -> None:
        self.tell = wake

    def collect_garbage(self, wanted: Callable[[Key], bool]) -> None:
        """Nothing is shared."""
        self._maybe_fail("collect_garbage")

    def close(self) -> None:
        """Nothing is open."""

    def end(self, target: str, code: int, signal: int | None = None, oom: bool = False) -> None:
        """The instance's process ends."""
        self._set(
            target,
            state=InstanceState.EXITED,
            pid=None,
            exit=Exit(code=code, signal=signal, oom_killed=oom, finished_at=self.clock.now()),
        )

    def only(self) -> Observed:
        """The one instance there is."""
        (seen,) = self.instances.values()
        return seen

    def _called(self, call: str) -> None:
        self._maybe_fail(call)
        self.calls.append(call)

    def _maybe_fail(self, call: str) -> None:
        if self.failures.get(call):
            raise self.failures[call].pop(0)

    def _get(self, target: str) -> Observed:
        if target not in self.instances:
            raise InstanceNotFoundError(f"{target} is gone")
        return self.instances[target]

    def _set(self, target: str, **changes: object) -> None:
        self.instances[target] = replace(self._get(target), **changes)  # type: ignore[arg-type]  # names of fields


@dataclass
class MemorySource:
    """Delivers the snapshots that a test hands it; `silent`: its first look takes for ever. `died`: its thread has."""

    present: Snapshot = field(default_factory=lambda: Snapshot(synced=True))
    changed: Callable[[Snapshot], None] | None = None
    silent: bool = False
    hanging: str = ""
    died: bool = False

    def start(self, changed: Callable[[Snapshot], None]) -> None:
        self.changed = changed
        if not self.silent:
            changed(self.present)

    def deliver(self, snapshot: Snapshot) -> None:
        """The manifests have changed."""
        self.present = snapshot
        if self.changed is not None:
            self.changed(snapshot)

    def snapshot(self) -> Snapshot:
        return self.present

    def confirm_prune(self, hash_: str | None) -> frozenset[str]:
        return frozenset()

    def rescan(self) -> None:
        """There is nothing else to see."""

    def alive(self) -> bool:
        return not self.died

    def trouble(self) -> str:
        return self.hanging

    def stop(self) -> None:
        """Nothing runs."""


@dataclass
class CountingRecorder:
    """Counts by name."""

    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def reconciled(self, result: str, seconds: float) -> None:
        self._count(f"reconciled {result}")

    def operated(self, runtime: str, operation: str, result: str, seconds: float) -> None:
        self._count(f"{operation} {result}")
        self.seconds[f"{operation} {result}"] = seconds

    def ticked(self, seconds: float, overran: bool) -> None:
        self._count("ticked")

    def drifted(self, field: str) -> None:
        self._count(f"drifted {field}")

    def changed(self, stage: str, seconds: float) -> None:
        self._count(f"changed {stage}")

    def violated(self, key: Key, resource: str, action: str) -> None:
        self._count(f"violated {resource} {action}")

    def forget(self, key: Key) -> None:
        self._count("forgotten")

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
