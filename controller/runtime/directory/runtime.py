"""DirectoryRuntime: the façade over what makes, changes and measures directory sandboxes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from controller.model.clock import Clock
from controller.model.errors import ConflictError, NotOwnedError, RuntimeFailure, StateError
from controller.model.identity import Key, Owner
from controller.model.observed import Capabilities, ContractRow, InstanceState, Observed, Usage
from controller.model.spec import Desired, Limits, SandboxSpec
from controller.runtime.cgroup.limits import read_limits
from controller.runtime.directory.client import SupervisorClient
from controller.runtime.directory.config import DirectoryConfig
from controller.runtime.directory.contract import Evidence, contract_rows, read_process
from controller.runtime.directory.environment import Environments
from controller.runtime.directory.events import ExitEvents
from controller.runtime.directory.exec import DirectoryExec, new_token
from controller.runtime.directory.groups import Groups, cgroup_root
from controller.runtime.directory.inventory import Entry, Inventory, refuse_unreadable
from controller.runtime.directory.launch import Launcher, Words
from controller.runtime.directory.lifecycle import REMOVED, Lifecycle, Parts, erase, make_folder
from controller.runtime.directory.logs import DirectoryLog
from controller.runtime.directory.observe import RUNTIME, Observer, live_limits, remembering
from controller.runtime.directory.processes import Processes
from controller.runtime.directory.record import TMP_FOLDER, Command, DirectoryRecord, instance_id, write_record
from controller.runtime.directory.uids import HostUids
from controller.runtime.directory.usage import UsageMeter
from controller.runtime.directory.users import Users
from controller.runtime.disk import DiskWalker
from controller.runtime.protocol import ExecRequest, ExecSession, LogStream
from controller.runtime.secrets import Secrets
from controller.runtime.workspace import WorkspaceFolder

__all__ = ["DirectoryConfig", "DirectoryRuntime"]

log = structlog.get_logger(__name__)

_CORE: Final = 1000


class DirectoryRuntime:
    """Implements Runtime. Nothing is made, started or connected to before it is needed; any thread may call it."""

    def __init__(
        self, config: DirectoryConfig, workspaces: WorkspaceFolder, disk: DiskWalker, clock: Clock, secrets: Secrets
    ) -> None:
        state_dir = Path(os.path.abspath(config.state_dir))  # noqa: PTH100 - a symlinked state folder keeps its own name
        self._config = config = replace(config, state_dir=state_dir)
        self._workspaces = workspaces
        self._clock = clock
        self._inventory = Inventory(config.directories, config.instance)
        self._observer = Observer(self._inventory, workspaces.path)
        self._groups = Groups(cgroup_root(config.instance) if config.use_cgroups else None)
        self._uids = HostUids(config, self._inventory)
        self._processes = Processes(self._groups, self._inventory, self._uids)
        self._meter = UsageMeter(self._groups, self._processes, disk, clock)
        self._client = SupervisorClient(config.run_dir, config.request_timeout)
        self._launcher = Launcher(secrets)
        self._environments = Environments(config, clock)
        self._lifecycle = Lifecycle(
            Parts(
                config=config,
                inventory=self._inventory,
                observer=self._observer,
                groups=self._groups,
                processes=self._processes,
                client=self._client,
                launcher=self._launcher,
                meter=self._meter,
                workspaces=workspaces,
                users=Users(self._uids, workspaces),
                clock=clock,
            )
        )
        self._events = ExitEvents(self._client, self._exited, self._lost)
        self._wake: Callable[[Key | None], None] = lambda _: None

    @property
    def name(self) -> str:
        """`directory`."""
        return RUNTIME

    def capabilities(self) -> Capabilities:
        """What it can do; unavailable only where the state folder cannot be written."""
        place = next(path for path in (self._config.directories, *self._config.directories.parents) if path.exists())
        writable = os.access(place, os.W_OK | os.X_OK)
        return Capabilities(
            runtime=RUNTIME,
            available=writable,
            reason="" if writable else "StateDirNotWritable",
            message="" if writable else f"{place} cannot be written: use another --state-dir, or its owner's user",
            updatable=self._groups.updatable,
            freeze=True,
            throttle="cpu" in self._groups.updatable,
            max_cpu=len(os.sched_getaffinity(0)) * _CORE,
        )

    def list(self) -> Sequence[Observed]:
        """Every instance; limits as last asked for."""
        is_alive = remembering()
        seen = (self._observer.observe(entry, is_alive) for entry in self._inventory.entries())
        return [observed for observed in seen if observed is not None]

    def inspect(self, key: Key) -> tuple[Observed, ...]:
        """The live instances of one key, limits and pauses read back from their control groups."""
        seen = (self._inspected(entry) for entry in self._inventory.of_key(key))
        return tuple(observed for observed in seen if observed is not None)

    def prepare(self, desired: Desired) -> None:
        """Have its environment, where something of it needs one. Raises PreparingError, EnvironmentFailedError."""
        self._environments.prepare(desired)

    def create(self, desired: Desired, owner: Owner) -> str:
        """Make its folder; `sandbox.json` comes last, and with it the instance is there."""
        id = instance_id(owner)
        folder = self._config.directories / id
        if self._inventory.find(id) is not None:
            raise ConflictError(f"directory sandbox {id} is there already: look again")
        refuse_unreadable(folder)
        try:
            host_uid = self._uids.allocate(owner.uid) if os.geteuid() == 0 else None
            self._create(desired, owner, folder, host_uid)
        finally:
            self._uids.release(owner.uid)
        return id

    def start(self, target: str) -> None:
        """Start it; without a command it is up from then on, and nothing runs. A command that cannot be executed is an
        exit with status 126 or 127.
        """
        self._lifecycle.start(target)

    def stop(self, target: str, grace: float) -> None:
        """SIGTERM to every process, after `grace` seconds SIGKILL; returns when it is down."""
        self._lifecycle.stop(target, grace)

    def kill(self, target: str) -> None:
        """SIGKILL to every process."""
        self._lifecycle.kill(target)

    def pause(self, target: str) -> None:
        """Freeze every process: by the freezer where there is one, else by SIGSTOP."""
        self._lifecycle.pause(target)

    def unpause(self, target: str) -> None:
        """Thaw."""
        self._lifecycle.unpause(target)

    def update(self, target: str, limits: Limits) -> None:
        """Put limits in force in place, as far as there are control groups. Raises ResizePendingError."""
        self._lifecycle.update(target, limits)

    def remove(self, target: str) -> None:
        """Remove it with every process; the workspace stays."""
        self._lifecycle.remove(target)

    def exec(self, target: str, request: ExecRequest) -> ExecSession:
        """Run a command with its user, limits and environment. Raises ConflictError where it is down or paused."""
        entry = self._inventory.get(target)
        seen = self._inspected(entry)
        if seen is None or seen.state is not InstanceState.RUNNING:
            raise ConflictError(f"the sandbox is {seen.state if seen else 'gone'}: it has to run for an exec")
        group = self._groups.ensure(target, entry.record.limits)
        token = new_token()
        words = Words(request.command, request.env, request.working_dir, token)
        launch = self._launcher.compose(entry, words, self._workspaces.path(entry.record.owner.uid), group)
        message = {"op": "exec", "id": target, "token": token, "timeout": request.timeout, "launch": launch}
        return DirectoryExec(self._client, message, request.stdin)

    def logs(self, target: str, tail: int | None = None, follow: bool = False) -> LogStream:
        """The main process's output over all its runs, as far as the two log files reach back."""
        return DirectoryLog(self._inventory.get(target).folder, tail, follow)

    def usage(self, instances: Sequence[Observed]) -> Mapping[str, Usage]:
        """From control groups; for what has none from one pass over /proc. Walks no disk."""
        return self._meter.measure(instances, {seen.id: self._folders(seen) for seen in instances})

    def contract(self, instance: Observed, spec: SandboxSpec) -> tuple[ContractRow, ...]:
        """The enforcement contract, read back from the live control group and process."""
        entry = self._inventory.get(instance.id)
        group = self._groups.existing(instance.id)
        status, open_files = read_process(instance.pid)
        evidence = Evidence(
            group=read_limits(group.paths) if group is not None else None,
            version=group.paths.version if group is not None else 0,
            status=status,
            open_files=open_files,
            host_uid=entry.record.host_uid,
        )
        return contract_rows(evidence, spec)

    def watch(self, wake: Callable[[Key | None], None]) -> None:
        """Follow the supervisor, now or as soon as there is one; first end what a lost one has left behind."""
        self._wake = wake
        self._environments.builds.listen(wake)
        self._client.before_request = self._events.follow
        self._events.follow()
        self._lifecycle.recover()

    def collect_garbage(self, wanted: Callable[[Key], bool]) -> None:
        """Remove environments never taken, folders half removed, and control groups of nobody."""
        self._environments.builds.retain(wanted)
        self._environments.discard_forgotten()
        for doomed in self._config.directories.glob(f"{REMOVED}*"):
            erase(doomed)
        ids = {entry.id for entry in self._inventory.entries()}
        for id in self._groups.names() - ids:
            if not (self._config.directories / id).exists():  # not one that is being made
                self._processes.kill_group(id)
                self._groups.remove(id)
        if os.geteuid() == 0:
            self._uids.tidy()

    def close(self) -> None:
        """End following; sandboxes and their supervisor go on."""
        self._environments.close()
        self._events.close()
        self._meter.close()

    def _create(self, desired: Desired, owner: Owner, folder: Path, host_uid: int | None) -> None:
        make_folder(self._config.directories, 0o711)
        if folder.exists():
            erase(folder)  # half made: it never had a record
        make_folder(folder, 0o711)
        make_folder(folder / TMP_FOLDER, 0o700, host_uid)
        try:
            self._workspaces.ensure(owner.uid, _uid(host_uid), _gid(host_uid))
        except StateError as exc:
            raise RuntimeFailure(str(exc)) from exc
        interpreter = self._environments.take(desired, folder)
        spec = desired.spec
        record = DirectoryRecord(
            owner=owner,
            template=desired.template,
            limits=spec.limits,
            command=Command((*spec.command, *spec.args), spec.env, spec.working_dir),
            host_uid=host_uid,
            created_at=self._clock.now(),
            venv=interpreter is not None,
            interpreter=interpreter.prefix if interpreter is not None else "",
        )
        self._end_strays(Entry(folder.name, folder, record, None, None, False))
        self._groups.fresh(folder.name, spec.limits)
        write_record(folder, record)

    def _end_strays(self, entry: Entry) -> None:
        """Somebody may have deleted the folder of an instance of that id while it ran."""
        if self._groups.of(entry.id) is None:
            self._processes.kill(entry)
        else:
            self._processes.kill_group(entry.id)
        self._client.wait_for_exit(entry.id)

    def _inspected(self, entry: Entry) -> Observed | None:
        seen = self._observer.observe(entry)
        group = self._groups.existing(entry.id)
        if seen is None or group is None:
            return seen
        found = read_limits(group.paths)
        asked = entry.record.limits
        limits = live_limits(asked, replace(asked, memory=found.memory, cpu=found.cpu, pids=found.pids), found.known)
        state = seen.state
        if state in (InstanceState.RUNNING, InstanceState.PAUSED):
            state = InstanceState.PAUSED if self._processes.is_frozen(entry) else InstanceState.RUNNING
        return replace(seen, limits=limits, state=state)

    def _folders(self, seen: Observed) -> tuple[str, ...]:
        return seen.path, str(self._config.directories / seen.id / TMP_FOLDER)

    def _exited(self, id: str) -> None:
        try:
            entry = self._inventory.find(id)
        except NotOwnedError:
            return
        self._wake(None if entry is None else entry.record.owner.key)

    def _lost(self) -> None:
        self._lifecycle.recover()
        self._wake(None)


def _uid(host_uid: int | None) -> int:
    return os.geteuid() if host_uid is None else host_uid


def _gid(host_uid: int | None) -> int:
    return os.getegid() if host_uid is None else host_uid
