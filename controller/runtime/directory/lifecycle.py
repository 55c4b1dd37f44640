"""Starting, stopping and removing instances, one call at a time for each."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import structlog

from controller.model.errors import ConflictError, RuntimeFailure, StateError
from controller.model.identity import Owner
from controller.model.observed import Exit, InstanceState
from controller.model.spec import Desired, Limits
from controller.runtime.directory.exec import DirectoryExec, new_token
from controller.runtime.directory.folders import erase, make_folder
from controller.runtime.directory.groups import oom_file
from controller.runtime.directory.inventory import Entry, refuse_unreadable
from controller.runtime.directory.launch import Words
from controller.runtime.directory.observe import lost_exit
from controller.runtime.directory.parts import Parts
from controller.runtime.directory.record import (
    PAUSED_FILE,
    RECORD_FILE,
    TMP_FOLDER,
    Command,
    DirectoryRecord,
    instance_id,
    translated,
    with_limits,
    write_exit,
    write_record,
    write_run,
)
from controller.runtime.directory.wire import RUN_FILE
from controller.runtime.keyed_locks import KeyedLocks
from controller.runtime.protocol import ExecRequest

log = structlog.get_logger(__name__)

REMOVED = ".removed-"
EXEC_PATIENCE = 5.0  # a start or a pause is over by then; a stop may take its whole grace
_STOPPED = 0
_KILLED = 137
_SIGKILL = 9


class Lifecycle:
    """Every method takes an instance's id, checks whose it is, and raises RuntimeFailure's subclasses."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._held = KeyedLocks().held

    def create(self, desired: Desired, owner: Owner) -> str:
        """Make its folder; `sandbox.json` comes last, and with it the instance is there. Its id."""
        parts, id = self._parts, instance_id(owner)
        folder = parts.config.directories / id
        with self._held(id):
            if parts.inventory.find(id) is not None:
                raise ConflictError(f"directory sandbox {id} is there already: look again")
            refuse_unreadable(folder)
            try:
                host_uid = parts.uids.allocate(owner.uid) if os.geteuid() == 0 else None
                self._create(desired, owner, folder, host_uid)
            finally:
                parts.uids.release(owner.uid)
        return id

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

    def exec(self, id: str, request: ExecRequest) -> DirectoryExec:
        """Start a command beside its main process; from then on a stop ends it too. Raises ConflictError where it is
        down, paused, or being changed.
        """
        parts = self._parts
        with self._held(id, EXEC_PATIENCE) as held:
            if not held:
                raise ConflictError("the sandbox is being stopped or changed: try again")
            entry = parts.inventory.get(id)
            seen = parts.live.inspect(entry)
            if seen is None or seen.state is not InstanceState.RUNNING:
                raise ConflictError(f"the sandbox is {seen.state if seen else 'gone'}: it has to run for an exec")
            group = parts.groups.ensure(id, entry.record.limits)
            token = new_token()
            words = Words(request.command, request.env, request.working_dir, token)
            launch = parts.launcher.compose(entry, words, parts.workspaces.path(entry.record.owner.uid), group)
            message = {"op": "exec", "id": id, "token": token, "timeout": request.timeout, "launch": launch}
            return DirectoryExec(parts.client, message, request.stdin)

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

    def discard(self, id: str) -> None:
        """Remove the group, and the folder, of what has no record: never made to its end, or gone. What somebody works
        on, and a folder whose record was lost since it ran, are left. Raises RuntimeFailure.
        """
        parts, folder = self._parts, self._parts.config.directories / id
        with self._held(id, 0) as held:
            if not held or any((folder / name).exists() for name in (RECORD_FILE, RUN_FILE)):
                return
            is_half_made = folder.exists()
            if not is_half_made:
                parts.processes.kill_group(id)
            parts.groups.remove(id)
            if is_half_made:
                erase(folder)

    def recover(self) -> None:
        """End what a supervisor that is gone has left behind, and record it; have the groups of what is up."""
        for entry in self._parts.inventory.entries():
            try:
                self._recover_one(entry.id)
            except RuntimeFailure as exc:
                log.warning("recovery_failed", id=entry.id, error=str(exc))

    def _create(self, desired: Desired, owner: Owner, folder: Path, host_uid: int | None) -> None:
        make_folder(self._parts.config.directories, 0o711)
        if folder.exists():
            erase(folder)  # half made: it never had a record
        make_folder(folder, 0o711)
        make_folder(folder / TMP_FOLDER, 0o700, host_uid)
        try:
            self._parts.workspaces.ensure(owner.uid, _uid(host_uid), _gid(host_uid))
        except StateError as exc:
            raise RuntimeFailure(str(exc)) from exc
        interpreter = self._parts.environments.take(desired, folder)
        spec = desired.spec
        record = DirectoryRecord(
            owner=owner,
            template=desired.template,
            limits=spec.limits,
            command=Command((*spec.command, *spec.args), spec.env, spec.working_dir),
            host_uid=host_uid,
            created_at=self._parts.clock.now(),
            venv=interpreter is not None,
            interpreter=interpreter.prefix if interpreter is not None else "",
            skill=spec.skill.mount.source if spec.skill is not None else "",
        )
        self._end_strays(Entry(folder.name, folder, record, None, None, False))
        self._parts.groups.fresh(folder.name, spec.limits)
        write_record(folder, record)

    def _end_strays(self, entry: Entry) -> None:
        """Somebody may have deleted the folder of an instance of that id while it ran."""
        if self._parts.groups.of(entry.id) is None:
            self._parts.processes.kill(entry)
        else:
            self._parts.processes.kill_group(entry.id)
        self._parts.client.wait_for_exit(entry.id)

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


def _uid(host_uid: int | None) -> int:
    return os.geteuid() if host_uid is None else host_uid


def _gid(host_uid: int | None) -> int:
    return os.getegid() if host_uid is None else host_uid
