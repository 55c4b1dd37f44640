"""Starting, stopping and removing instances, one call at a time for each."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import structlog

from controller.model.clock import Clock
from controller.model.errors import ConflictError, RuntimeFailure
from controller.model.observed import Exit
from controller.model.spec import Limits
from controller.runtime.directory.client import SupervisorClient
from controller.runtime.directory.config import DirectoryConfig
from controller.runtime.directory.groups import Groups, oom_file
from controller.runtime.directory.inventory import Entry, Inventory
from controller.runtime.directory.launch import Launcher, Words
from controller.runtime.directory.observe import Observer, lost_exit
from controller.runtime.directory.processes import Processes
from controller.runtime.directory.record import (
    PAUSED_FILE,
    translated,
    with_limits,
    write_exit,
    write_record,
    write_run,
)
from controller.runtime.directory.usage import UsageMeter
from controller.runtime.directory.users import Users
from controller.runtime.tree import erase_tree
from controller.runtime.workspace import WorkspaceFolder

log = structlog.get_logger(__name__)

REMOVED = ".removed-"
_STOPPED = 0
_KILLED = 137
_SIGKILL = 9


@dataclass(frozen=True, slots=True)
class Parts:
    """What a lifecycle works with."""

    config: DirectoryConfig
    inventory: Inventory
    observer: Observer
    groups: Groups
    processes: Processes
    client: SupervisorClient
    launcher: Launcher
    meter: UsageMeter
    workspaces: WorkspaceFolder
    users: Users
    clock: Clock


class Lifecycle:
    """Every method takes an instance's id, checks whose it is, and raises RuntimeFailure's subclasses."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def start(self, id: str) -> None:
        """Start it where it is down; nothing of an earlier run is left then."""
        parts = self._parts
        with self._held(id):
            entry = parts.inventory.get(id)
            if parts.observer.is_up(entry):
                return
            if entry.run is not None:
                parts.processes.kill(entry)
            entry = parts.users.settle(entry)
            parts.meter.forget(id)
            make_group = parts.groups.ensure if entry.run is None else parts.groups.fresh
            group = make_group(id, entry.record.limits)
            self._mark_paused(entry, False)
            words = entry.record.command.words
            if not words:
                write_run(entry.folder, parts.clock.now())
                return
            workspace = parts.workspaces.path(entry.record.owner.uid)
            message = {
                "op": "start",
                "id": id,
                "folder": str(entry.folder),
                "logBytes": parts.config.log_bytes,
                "oomFile": oom_file(group.paths) if group is not None else "",
                "launch": parts.launcher.compose(entry, Words(words), workspace, group),
            }
            parts.client.request(message)

    def stop(self, id: str, grace: float) -> None:
        """SIGTERM to all of it, after the grace SIGKILL; returns when its end is recorded."""
        with self._held(id):
            entry = self._parts.inventory.get(id)
            if self._parts.observer.is_up(entry):
                self._parts.processes.terminate(entry, grace)
            self._end(entry, _STOPPED)

    def kill(self, id: str) -> None:
        """SIGKILL to all of it; returns when its end is recorded."""
        with self._held(id):
            entry = self._parts.inventory.get(id)
            self._end(entry, _KILLED)

    def pause(self, id: str) -> None:
        """Freeze it. Raises ConflictError where it is down."""
        with self._held(id):
            entry = self._parts.inventory.get(id)
            if not self._parts.observer.is_up(entry):
                raise ConflictError(f"{id} is down: there is nothing to pause; look again")
            self._mark_paused(entry, True)
            try:
                self._parts.processes.freeze(entry)
            except RuntimeFailure:
                self._mark_paused(entry, False)
                raise

    def unpause(self, id: str) -> None:
        """Thaw it."""
        with self._held(id):
            entry = self._parts.inventory.get(id)
            self._parts.users.give_back(entry)
            self._parts.processes.thaw(entry)
            self._mark_paused(entry, False)

    def update(self, id: str, limits: Limits) -> None:
        """Put other limits in force. Raises ResizePendingError below present usage: nothing has changed then."""
        with self._held(id):
            entry = self._parts.inventory.get(id)
            group = self._parts.groups.existing(id)
            if group is not None:
                group.apply(limits)
            write_record(entry.folder, with_limits(entry.record, limits))

    def remove(self, id: str) -> None:
        """Remove it with every process of it. Idempotent."""
        parts = self._parts
        with self._held(id):
            entry = parts.inventory.find(id)
            if entry is None:
                return
            self._end(entry, _KILLED)
            parts.meter.forget(id)
            parts.groups.remove(id)
            doomed = entry.folder.with_name(f"{REMOVED}{uuid4()}")
            try:
                entry.folder.rename(doomed)
            except OSError as exc:
                raise translated(exc, f"cannot remove {entry.folder}") from exc
            erase(doomed)

    def recover(self) -> None:
        """End what a supervisor that is gone has left behind, and record it; have the groups of what is up."""
        for entry in self._parts.inventory.entries():
            try:
                self._recover_one(entry.id)
            except RuntimeFailure as exc:
                log.warning("recovery_failed", id=entry.id, error=str(exc))

    def _recover_one(self, id: str) -> None:
        with self._held(id):
            parts = self._parts
            entry = parts.inventory.find(id)
            if entry is None:
                return
            has_user = parts.users.has(entry)
            if entry.run is None or entry.exit is not None:
                return
            up = parts.observer.is_up(entry)
            if up and has_user:
                parts.groups.ensure(id, entry.record.limits)
                return
            parts.processes.kill(entry)
            if up:  # it gets another user when it is started again
                parts.client.wait_for_exit(id)
            write_exit(entry.folder, entry.run, lost_exit(entry.folder, entry.run))
            log.warning("user_taken" if up else "supervisor_lost", id=id, pid=entry.run.pid)

    def _end(self, entry: Entry, code: int) -> None:
        """No process is left, and how it ended is recorded: by the supervisor where it had a main process, else with
        this code.
        """
        parts = self._parts
        up = parts.observer.is_up(entry)
        parts.processes.kill(entry)
        self._mark_paused(entry, False)
        if entry.run is None or entry.exit is not None:
            return
        if up and entry.run.pid is not None:
            parts.client.wait_for_exit(entry.id)
        elif up:
            signal = _SIGKILL if code == _KILLED else None
            write_exit(entry.folder, entry.run, Exit(code, signal, False, parts.clock.now()))
        else:
            write_exit(entry.folder, entry.run, lost_exit(entry.folder, entry.run))

    def _mark_paused(self, entry: Entry, paused: bool) -> None:
        mark = entry.folder / PAUSED_FILE
        try:
            if paused:
                mark.touch(mode=0o600)
            else:
                mark.unlink(missing_ok=True)
        except OSError as exc:
            raise translated(exc, f"cannot write {mark}") from exc

    @contextlib.contextmanager
    def _held(self, id: str) -> Iterator[None]:
        with self._guard:
            lock = self._locks.setdefault(id, threading.Lock())
        with lock:
            yield


def erase(folder: Path) -> None:
    """Delete a folder that a sandbox could write in. Raises RuntimeFailure."""
    try:
        erase_tree(str(folder))
    except OSError as exc:
        raise translated(exc, f"cannot delete {folder}") from exc


def make_folder(path: Path, mode: int, owner: int | None = None) -> None:
    """Have a folder of that mode, whatever the umask, and of that owner. Raises RuntimeFailure."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(mode)
        if owner is not None:
            os.chown(path, owner, owner, follow_symlinks=False)
    except OSError as exc:
        raise translated(exc, f"cannot make {path}") from exc
