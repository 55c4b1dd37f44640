"""The seams between the loop and what it reports to, and between the HTTP API and the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from controller.model.hold import Hold
from controller.model.identity import Key
from controller.model.observed import Capabilities
from controller.model.record import Record, Termination
from controller.model.spec import Desired
from controller.model.status import EventRecord, SandboxStatus
from controller.runtime.protocol import ExecRequest, ExecSession, LogStream


@dataclass(frozen=True, slots=True)
class SandboxView:
    """One sandbox as it is served: what is wanted (None: no file declares it any more), remembered and known."""

    key: Key
    desired: Desired | None
    record: Record
    status: SandboxStatus


@dataclass(frozen=True, slots=True)
class DaemonInfo:
    """The daemon as a whole, for `/api/v1/daemon`, metrics and `get`'s notices."""

    instance: str
    version: str
    manifests: str
    started_at: float
    alive: bool
    synced: bool
    runtimes: tuple[Capabilities, ...]
    faults: tuple[str, ...]
    prune_reason: str = ""
    prune_hash: str = ""
    prune_keys: tuple[str, ...] = ()
    queue_depth: int = 0
    manifests_good: int = 0
    manifests_stale: int = 0
    manifests_refused: int = 0


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be done now, and what stands in the way of more: refused manifests, removals held back; a line each.

    Warnings stand in no way.
    """

    operations: Sequence[str]
    faults: Sequence[str] = ()


class StateStore(Protocol):
    """The rebuildable store. Raises StateError (its text says what to do); writes are durable on return."""

    def load(self) -> Mapping[Key, tuple[Record, SandboxStatus | None]]:
        """Everything remembered. A damaged store is set aside and an empty answer given; `rebuilt` then tells so."""

    @property
    def rebuilt(self) -> str:
        """Why the store began empty although one was there, or the empty string."""

    def save(self, key: Key, record: Record, status: SandboxStatus | None) -> None:
        """Remember one key."""

    def delete(self, key: Key) -> None:
        """Forget one key; its events stay until they age out."""

    def add_event(self, event: EventRecord) -> EventRecord:
        """Append an event, or raise the count of the same one (key, reason, message) of the last ten minutes."""

    def events(
        self, key: Key | None = None, after: int = 0, limit: int = 1000, namespace: str | None = None
    ) -> Sequence[EventRecord]:
        """Events in order of their last occurrence: the `limit` newest, or the first ones with an id above `after`.

        Of one sandbox, else of one namespace, else all.
        """

    def wait_for_event(self, after: int, timeout: float) -> int:
        """Block until there is an event with an id above `after`, or the timeout; the newest id, 0 where none is."""

    def add_termination(self, key: Key, uid: str, termination: Termination) -> None:
        """Keep the evidence of one termination (the last 20 a sandbox)."""

    def terminations(self, key: Key) -> Sequence[Termination]:
        """The evidence kept, newest first."""

    def forget_terminations(self, key: Key) -> None:
        """Delete the evidence of one sandbox (expiry with shutdownPolicy Delete)."""

    def close(self) -> None:
        """Close it."""


class HoldStore(Protocol):
    """Holds, kept apart from the rebuildable store in one file that is replaced atomically. Raises StateError."""

    def load(self) -> Sequence[Hold]:
        """All holds; a damaged file is set aside and an empty answer given."""

    def save(self, holds: Sequence[Hold]) -> None:
        """Replace all holds."""


class Recorder(Protocol):
    """Where the loop counts. Each is a metric family of the metrics page; calls are cheap and never raise."""

    def reconciled(self, result: str, seconds: float) -> None:
        """A pass ended: success, requeue, pending, retry, terminal or panic."""

    def operated(self, runtime: str, operation: str, result: str, seconds: float) -> None:
        """An operation ended: success, or the failure's reason."""

    def ticked(self, seconds: float, overran: bool) -> None:
        """A tick ended."""

    def drifted(self, field: str) -> None:
        """A live field was found changed from outside."""

    def changed(self, stage: str, seconds: float) -> None:
        """A change passed a stage (seen, planned, created, ready), seconds after its file was saved."""

    def violated(self, key: Key, resource: str, action: str) -> None:
        """A limit was violated and acted on."""

    def forget(self, key: Key) -> None:
        """A sandbox is gone: its series vanish."""


class ControlPlane(Protocol):
    """What the HTTP API and the metrics page ask of the daemon. Names are resolved within a namespace.

    Methods that act raise UsageError for what cannot be meant (the text says why), KeyError for an unknown sandbox.
    """

    def info(self) -> DaemonInfo:
        """The daemon as a whole."""

    def sandboxes(self) -> Sequence[SandboxView]:
        """All sandboxes, by namespace and name: an immutable snapshot."""

    def sandbox(self, key: Key) -> SandboxView:
        """One sandbox."""

    def wait_for_change(self, version: int, timeout: float) -> int:
        """Block until anything in `sandboxes()` is newer than `version`, or the timeout; the present version."""

    def events(self, key: Key | None, after: int, limit: int, namespace: str | None = None) -> Sequence[EventRecord]:
        """Events, oldest first: of one sandbox, else of one namespace, else all."""

    def wait_for_event(self, after: int, timeout: float) -> int:
        """Block until there is an event with an id above `after`, or the timeout; the newest id."""

    def plan(self) -> Preview:
        """What would be done now, from the live runtimes; changes nothing."""

    def suspend(self, key: Key, cause: str) -> None:
        """Hold it Suspended."""

    def resume(self, key: Key) -> Sequence[str]:
        """Release its holds; the types released."""

    def restart(self, key: Key, cause: str) -> None:
        """Stop and start it once."""

    def reconcile(self, key: Key | None) -> None:
        """Wake one key (clearing its backoff), or rescan and wake all."""

    def delete(self, key: Key, hold: bool) -> None:
        """Remove a sandbox that no file declares; with `hold`, keep a declared one away until an edit or resume."""

    def confirm_prune(self, hash_: str | None) -> Sequence[str]:
        """Release blocked removals; the keys released."""

    def restore(self, key: Key) -> Mapping[str, Any]:
        """Bring a deleted sandbox's workspace back: `{uid, path, declared, document}`."""

    def exec(self, key: Key, request: ExecRequest) -> ExecSession:
        """Run a command inside."""

    def logs(self, key: Key, tail: int | None, follow: bool) -> LogStream:
        """Output of its main process."""

    def terminations(self, key: Key) -> Sequence[Termination]:
        """The evidence kept, newest first."""
