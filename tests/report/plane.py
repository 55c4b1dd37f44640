"""A control plane that shows what a test puts into it and remembers what was asked of it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from controller.model.identity import Key
from controller.model.observed import Capabilities
from controller.model.record import Termination
from controller.model.status import EventRecord
from controller.report.protocol import DaemonInfo, Preview, SandboxView
from controller.runtime.protocol import ExecRequest
from tests.report.values import NOON

INFO = DaemonInfo(
    instance="3f1c",
    version="0.1.0",
    manifests="/srv/manifests",
    started_at=NOON,
    alive=True,
    synced=True,
    runtimes=(Capabilities("docker"), Capabilities("directory")),
    faults=(),
)


class FakeStream:
    """Chunks that a test sends, until `end` or until it is closed: both an ExecSession and a LogStream."""

    def __init__(self) -> None:
        self._chunks: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self.closed = threading.Event()
        self.code = 0

    def send(self, data: bytes, stream: str = "stdout") -> None:
        self._chunks.put((stream, data))

    def end(self) -> None:
        self._chunks.put(None)

    def output(self) -> Iterator[tuple[str, bytes]]:
        return iter(self._chunks.get, None)

    def __iter__(self) -> Iterator[bytes]:
        return (data for _, data in self.output())

    def exit_code(self) -> int:
        return self.code

    def close(self) -> None:
        self.closed.set()
        self._chunks.put(None)


@dataclass
class FakePlane:
    """Implements ControlPlane."""

    views: list[SandboxView] = field(default_factory=list)
    daemon: DaemonInfo = INFO
    kept_events: list[EventRecord] = field(default_factory=list)
    evidence: list[Termination] = field(default_factory=list)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    stream: FakeStream = field(default_factory=FakeStream)
    failure: Exception | None = None
    plan_lines: Callable[[], Sequence[str]] = lambda: ["create sandbox default/web: it is declared"]
    plan_faults: Sequence[str] = ()

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._version = 1

    def reset(self, *views: SandboxView) -> None:
        """Be as new, with these views."""
        with self._changed:
            self.__init__(list(views))  # type: ignore[misc] # the simplest way to every field's default

    def change(self, *views: SandboxView) -> None:
        """Show other views, and wake who waits."""
        with self._changed:
            self.views = list(views)
            self._version += 1
            self._changed.notify_all()

    def set_info(self, **changes: Any) -> None:
        self.daemon = replace(self.daemon, **changes)

    def info(self) -> DaemonInfo:
        return self.daemon

    def sandboxes(self) -> Sequence[SandboxView]:
        return tuple(self.views)

    def sandbox(self, key: Key) -> SandboxView:
        return {view.key: view for view in self.views}[key]

    def wait_for_change(self, version: int, timeout: float) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._version > version, timeout)
            return self._version

    def events(self, key: Key | None, after: int, limit: int, namespace: str | None = None) -> Sequence[EventRecord]:
        of_all = [event for event in self.kept_events if namespace in (None, event.key.namespace)]
        found = [event for event in of_all if key in (None, event.key) and event.id > after]
        return found[:limit] if after else found[-limit:]

    def happen(self, event: EventRecord) -> None:
        """Keep another event, and wake who waits for one; no sandbox changes."""
        with self._changed:
            self.kept_events.append(event)
            self._changed.notify_all()

    def wait_for_event(self, after: int, timeout: float) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._newest() > after, timeout)
            return self._newest()

    def _newest(self) -> int:
        return max((event.id for event in self.kept_events), default=0)

    def plan(self) -> Preview:
        return Preview(self.plan_lines(), self.plan_faults)

    def suspend(self, key: Key, cause: str) -> None:
        self._act("suspend", key)

    def resume(self, key: Key) -> Sequence[str]:
        self._act("resume", key)
        return ["Suspended"]

    def restart(self, key: Key, cause: str) -> None:
        self._act("restart", key)

    def reconcile(self, key: Key | None) -> None:
        self._act("reconcile", key)

    def delete(self, key: Key, hold: bool) -> None:
        self._act("delete", key, hold)

    def confirm_prune(self, hash_: str | None) -> Sequence[str]:
        self._act("prune", hash_)
        return ["default/web"]

    def restore(self, key: Key) -> Mapping[str, Any]:
        self._act("restore", key)
        return {"uid": "0b9c", "path": "/w", "declared": False, "document": {}}

    def exec(self, key: Key, request: ExecRequest) -> FakeStream:
        self._act("exec", key, request)
        return self.stream

    def logs(self, key: Key, tail: int | None, follow: bool) -> FakeStream:
        self._act("logs", key, tail, follow)
        return self.stream

    def terminations(self, key: Key) -> Sequence[Termination]:
        return self.evidence

    def _act(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.failure is not None:
            raise self.failure
