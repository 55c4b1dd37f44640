"""DirectoryRuntime: the façade over what makes, changes and measures directory sandboxes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from controller.model.clock import Clock
from controller.model.errors import NotOwnedError, RuntimeFailure
from controller.model.identity import Key, Owner
from controller.model.observed import Capabilities, ContractRow, Observed, Usage
from controller.model.spec import Desired, Limits, SandboxSpec
from controller.runtime.cgroup.limits import read_limits
from controller.runtime.directory.client import SupervisorClient
from controller.runtime.directory.config import DirectoryConfig
from controller.runtime.directory.contract import Evidence, contract_rows, read_process
from controller.runtime.directory.environment import Environments
from controller.runtime.directory.events import ExitEvents
from controller.runtime.directory.folders import erase
from controller.runtime.directory.groups import Groups, cgroup_root
from controller.runtime.directory.inventory import Inventory
from controller.runtime.directory.launch import Launcher
from controller.runtime.directory.lifecycle import REMOVED, Lifecycle, Parts
from controller.runtime.directory.live import LiveObserver
from controller.runtime.directory.logs import DirectoryLog
from controller.runtime.directory.observe import RUNTIME, Observer, remembering
from controller.runtime.directory.places import outlived_in
from controller.runtime.directory.processes import Processes
from controller.runtime.directory.record import TMP_FOLDER
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
        self._live = LiveObserver(self._observer, self._groups, self._processes)
        self._meter = UsageMeter(self._groups, self._processes, disk, clock)
        self._client = SupervisorClient(config.run_dir, config.request_timeout)
        self._launcher = Launcher(secrets)
        self._environments = Environments(config, clock)
        self._lifecycle = Lifecycle(
            Parts(
                config=config,
                inventory=self._inventory,
                observer=self._observer,
                live=self._live,
                groups=self._groups,
                processes=self._processes,
                client=self._client,
                launcher=self._launcher,
                meter=self._meter,
                workspaces=workspaces,
                uids=self._uids,
                users=Users(self._uids, workspaces),
                environments=self._environments,
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
        seen = (self._live.inspect(entry) for entry in self._inventory.of_key(key))
        return tuple(observed for observed in seen if observed is not None)

    def prepare(self, desired: Desired) -> None:
        """Have its environment, where something of it needs one. Raises PreparingError, EnvironmentFailedError."""
        self._environments.prepare(desired)

    def forgo(self, key: Key) -> None:
        self._environments.builds.leave(key)

    def create(self, desired: Desired, owner: Owner) -> str:
        """Make its folder; `sandbox.json` comes last, and with it the instance is there."""
        return self._lifecycle.create(desired, owner)

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
        return self._lifecycle.exec(target, request)

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
            outlived_in=outlived_in(instance.pid, instance.path),
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
            with _logged(doomed.name):
                erase(doomed)
        ids = {entry.id for entry in self._inventory.entries()}
        for id in self._groups.names() - ids:
            if (self._config.directories / id).exists():
                continue  # it is being made
            with _logged(id):
                self._processes.kill_group(id)
                self._groups.remove(id)
        if os.geteuid() == 0:
            self._uids.tidy()

    def close(self) -> None:
        """End following; sandboxes and their supervisor go on."""
        self._environments.close()
        self._events.close()
        self._meter.close()

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


@contextlib.contextmanager
def _logged(what: str) -> Iterator[None]:
    """What cannot be removed now is tried again with the next collection, and holds up nothing else."""
    try:
        yield
    except RuntimeFailure as exc:
        log.warning("garbage_not_removed", what=what, error=str(exc))
