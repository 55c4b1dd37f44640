"""What people ask of the running daemon, answered from the world or handed to the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from controller.model.clock import Clock
from controller.model.conditions import ConditionType, condition_of
from controller.model.errors import ConflictError, UsageError
from controller.model.hold import Hold, HoldType
from controller.model.identity import Key
from controller.model.observed import Observed
from controller.model.record import Intent, Termination
from controller.model.spec import OperatingMode
from controller.model.status import EventRecord
from controller.plan.exits import RESTART
from controller.plan.removal import DELETE
from controller.plan.restoring import RESTORE
from controller.plan.status import not_ready
from controller.report.protocol import DaemonInfo, Preview, SandboxView, StateStore
from controller.runtime.protocol import ExecRequest, ExecSession, LogStream, Runtime, TrashedWorkspace, Workspaces
from controller.source.protocol import ManifestSource

from .holding import Holds
from .intake import Intake
from .journal import Journal
from .outlook import Outlook
from .pulse import Pulse
from .survey import preview_of, view_of, views_of
from .world import Entry, World


@dataclass(frozen=True, slots=True)
class Parts:
    """What the control plane reaches."""

    world: World
    outlook: Outlook
    journal: Journal
    holds: Holds
    store: StateStore
    source: ManifestSource
    intake: Intake
    workspaces: Workspaces
    runtimes: Mapping[str, Runtime]
    pulse: Pulse
    clock: Clock


class Control:
    """Implements ControlPlane."""

    def __init__(self, parts: Parts) -> None:
        self._with = parts
        self._world = parts.world

    # Looking

    def info(self) -> DaemonInfo:
        troubles = self._with.source.trouble(), self._with.journal.fault
        return self._with.pulse.info(self._world, self._with.outlook.capabilities(), troubles)

    def sandboxes(self) -> Sequence[SandboxView]:
        return views_of(self._world)

    def sandbox(self, key: Key) -> SandboxView:
        view = view_of(key, self._entry(key), self._world.declared().get(key))
        if view is None:
            raise KeyError(str(key))
        return view

    def wait_for_change(self, version: int, timeout: float) -> int:
        return self._world.wait_for_change(version, timeout)

    def events(self, key: Key | None, after: int, limit: int, namespace: str | None = None) -> Sequence[EventRecord]:
        return self._with.store.events(key, after, limit, namespace)

    def wait_for_event(self, after: int, timeout: float) -> int:
        return self._with.store.wait_for_event(after, timeout)

    def terminations(self, key: Key) -> Sequence[Termination]:
        return self._with.store.terminations(key)

    def plan(self) -> Preview:
        preview, trouble = preview_of(self._world, self._with.outlook), self._with.source.trouble()
        return replace(preview, faults=(trouble, *preview.faults)) if trouble else preview

    # Acting

    def suspend(self, key: Key, cause: str) -> None:
        entry = self._declared(key)
        self._hold(entry, key, HoldType.SUSPENDED, cause)

    def resume(self, key: Key) -> Sequence[str]:
        self._entry(key)
        ended = self._with.holds.end(key)
        if not ended:
            self._refuse_suspended(key)
        for hold in ended:
            self._with.journal.event(key, "Released", f"{hold.type} was released by resume")
        self._with.pulse.wake(key)
        return [str(hold.type) for hold in ended]

    def restart(self, key: Key, cause: str) -> None:
        self._declared(key)
        self._refuse_suspended(key)
        for hold in self._world.holds(key):
            if hold.type is not HoldType.THROTTLED:  # which slows it down and lets it run
                raise UsageError(f"{key} is {hold.type}: {hold.cause}; `sandkeeper resume {_named(key)}` lets it run")
        with self._world.atomically():
            self._world.intend(key, Intent(RESTART, cause))
            # Who asks next must not be answered with the readiness of before.
            self._world.amend(key, lambda status: not_ready(status, "Restarting", cause, self._with.clock.now()))
        self._with.pulse.wake(key)

    def reconcile(self, key: Key | None) -> None:
        if key is not None:
            self._entry(key)
            self._with.pulse.wake_now(key)
            return
        self._with.source.rescan()
        for each in self._world.all_keys():
            self._with.pulse.wake_now(each)

    def delete(self, key: Key, hold: bool) -> None:
        entry = self._entry(key)
        if hold:
            self._hold(self._declared(key), key, HoldType.DELETED, "deleted by hand; its manifest stays")
            return
        prune = self._world.snapshot().prune
        if prune is not None and key in prune.keys:
            self._with.intake.dismiss(key)
            return
        if key in self._world.declared() or self._world.is_retained(key):
            where = entry.record.origin
            raise UsageError(
                f"{key} is declared in {where}: remove it there, or use --hold to keep it away until an edit or resume"
            )
        self._world.intend(key, Intent(DELETE, "deleted by hand"))
        self._with.pulse.wake_now(key)

    def confirm_prune(self, hash_: str | None) -> Sequence[str]:
        return sorted(self._with.source.confirm_prune(hash_))

    def restore(self, key: Key) -> Mapping[str, Any]:
        trashed = self._trashed(key)
        declared = key in self._world.declared()
        entry = self._world.entry(key)
        if entry is not None and not declared:
            raise UsageError(f"{key} has its workspace and waits for its manifest, or is being removed; see describe")
        if entry is not None and not self._with.workspaces.is_empty(entry.record.uid):
            place = self._with.workspaces.path(entry.record.uid)
            raise UsageError(f"{key} has files in its workspace {place}; move them away first")
        self._world.intend(key, Intent(RESTORE, "asked for by hand", uid=trashed.uid, document=trashed.document))
        self._with.pulse.wake_now(key)
        path = self._with.workspaces.path(trashed.uid)
        return {"uid": trashed.uid, "path": path, "declared": declared, "document": trashed.document}

    # Inside

    def exec(self, key: Key, request: ExecRequest) -> ExecSession:
        seen = self._instance(key)
        try:
            return self._with.runtimes[seen.runtime].exec(seen.id, request)
        except ConflictError as exc:
            phase = self.sandbox(key).status.phase
            raise ConflictError(
                f"{key} does not run now (phase {phase}); see `sandkeeper explain {_named(key)}`"
            ) from exc

    def logs(self, key: Key, tail: int | None, follow: bool) -> LogStream:
        seen = self._instance(key)
        return self._with.runtimes[seen.runtime].logs(seen.id, tail, follow)

    def _entry(self, key: Key) -> Entry:
        entry = self._world.entry(key)
        if entry is None:
            raise KeyError(str(key))
        return entry

    def _declared(self, key: Key) -> Entry:
        """Its entry, where a manifest says what it is to be: nothing that is asked for may wait for one to come."""
        entry = self._entry(key)
        if key not in self._world.declared():
            raise UsageError(
                f"no manifest of {key} can be made out now, so that nothing is done to it; see "
                f"`sandkeeper explain {_named(key)}`"
            )
        return entry

    def _instance(self, key: Key) -> Observed:
        entry = self._entry(key)
        seen = entry.running or max(entry.observed, key=lambda each: each.created_at, default=None)
        if seen is None:
            raise UsageError(
                f"{key} has no instance now ({_why_unready(entry)}); see `sandkeeper describe {_named(key)}`"
            )
        return seen

    def _hold(self, entry: Entry, key: Key, type_: HoldType, cause: str) -> None:
        on, since = entry.record, self._with.clock.now()
        self._with.holds.promise(Hold(key, type_, cause, since, on.generation, resolved_hash=on.resolved_hash))
        self._with.journal.event(key, "Held", f"{type_}: {cause}")
        self._with.pulse.wake(key)

    def _refuse_suspended(self, key: Key) -> None:
        desired = self._world.declared().get(key)
        if desired is not None and desired.spec.lifecycle.operating_mode is OperatingMode.SUSPENDED:
            raise UsageError(f"{key} is Suspended by its manifest; set spec.operatingMode: Running in {desired.origin}")

    def _trashed(self, key: Key) -> TrashedWorkspace:
        for trashed in self._with.workspaces.trashed():
            if trashed.key == key:
                return trashed
        raise UsageError(f"the trash holds no workspace of {key}; it is kept there for --trash-ttl after a removal")


def _named(key: Key) -> str:
    """As a command line names it, whatever its namespace."""
    return f"{key.namespace}/{key.name}"


def _why_unready(entry: Entry) -> str:
    ready = condition_of(entry.status.conditions, ConditionType.READY) if entry.status else None
    return ": ".join(text for text in (ready.reason, ready.message) if text) if ready else "it was not looked at yet"
