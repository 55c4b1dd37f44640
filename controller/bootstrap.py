"""Wires everything: the one place where rooms meet."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from controller import __version__
from controller.allocator import give_memory_back
from controller.config import DaemonConfig, socket_path
from controller.loop.daemon import last_known_good, recall
from controller.loop.intake import Intake
from controller.loop.lock import InstanceLock, instance_of, read_instance
from controller.loop.outlook import Outlook
from controller.loop.pulse import Identity
from controller.loop.survey import planned_lines
from controller.loop.wiring import Loop, Seams, wire
from controller.loop.world import World
from controller.model.clock import Clock, SystemClock
from controller.model.errors import EngineUnavailableError, StateError
from controller.model.identity import Key
from controller.model.manifest import Document, FieldFault
from controller.model.spec import Desired
from controller.notify import Notifier
from controller.report.holds import JsonHoldStore
from controller.report.http import HttpConfig, HttpServer
from controller.report.logging import configure_logging
from controller.report.metrics import Metrics
from controller.report.redaction import SecretRedactor
from controller.report.store import SqliteStore
from controller.report.usage_history import UsageHistory
from controller.resolve.admission import admit
from controller.resolve.defaults import ResolveSettings
from controller.resolve.resolver import resolve
from controller.runtime.directory.config import DirectoryConfig
from controller.runtime.directory.runtime import DirectoryRuntime
from controller.runtime.disk import DiskWalker
from controller.runtime.docker.config import DockerConfig
from controller.runtime.docker.locate import engine_socket
from controller.runtime.docker.runtime import DockerRuntime
from controller.runtime.protocol import Runtime
from controller.runtime.workspace import WorkspaceFolder
from controller.secrecy import redacting, secrets_of
from controller.source.config import SourceConfig
from controller.source.folder import FolderSource
from controller.source.host_paths import ENGINE_SOCKETS

log = structlog.get_logger(__name__)

_SOFT_DESCRIPTORS: Final = 65536
_COPY_TRIES: Final = 20


@dataclass(frozen=True, slots=True)
class Application:
    """A whole daemon, put together and not yet started."""

    loop: Loop
    http: HttpServer
    store: SqliteStore
    disk: DiskWalker
    lock: InstanceLock

    def start(self) -> None:
        """Start everything; returns once the first scan of the manifests is done and the API answers."""
        self.http.start()
        self.loop.daemon.start()

    def stop(self) -> None:
        """End everything; sandboxes go on."""
        self.loop.daemon.stop()
        self.http.stop()
        self.disk.close()
        self.store.close()
        self.lock.release()


def settings_of(config: DaemonConfig) -> ResolveSettings:
    """What resolution needs to know."""
    own_user = None if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"
    return ResolveSettings(defaults=config.defaults, own_user=own_user)


def admit_with_defaults(config: DaemonConfig | None = None) -> Callable[[dict[str, Any]], Sequence[FieldFault]]:
    """The checks beyond the schema, as `validate` and the daemon's source apply them."""
    settings = settings_of(config or DaemonConfig())

    def admitting(body: dict[str, Any]) -> Sequence[FieldFault]:
        return admit(body, settings)

    return admitting


def build(config: DaemonConfig, redactor: SecretRedactor) -> Application:
    """Put a daemon together. Raises AlreadyRunningError, StateError, UsageError."""
    state_dir = Path(os.path.abspath(config.state_dir))  # noqa: PTH100 - a symlinked state folder keeps its own name
    lock = InstanceLock(state_dir)
    lock.acquire()
    clock = SystemClock()
    identity = Identity(instance_of(state_dir, config.instance), __version__, str(config.manifests), clock.now())
    store = SqliteStore(state_dir / "state.db", clock)
    hold_store = JsonHoldStore(state_dir / "holds.json", clock)
    world = World()
    recall(world, store, hold_store)
    if store.rebuilt:
        log.warning("state_rebuilt", why=store.rebuilt)
    disk = DiskWalker(clock)
    workspaces = WorkspaceFolder(state_dir, clock, config.trash_ttl)
    runtimes = make_runtimes(config, identity.instance, clock, disk, redactor)
    history = UsageHistory()
    metrics = Metrics(__version__, tuple(runtimes), history)
    loop = wire(
        Seams(
            identity=identity,
            world=world,
            source=_source(config, last_known_good(world), clock, state_dir / "root.json"),
            resolve=_resolver(settings_of(config)),
            runtimes=runtimes,
            workspaces=workspaces,
            store=store,
            hold_store=hold_store,
            recorder=metrics,
            clock=clock,
            publish=history.observe,
            redact=redacting(secrets_of(config.secrets_dir, redactor), redactor),
            tick=config.tick,
            workers=config.workers,
        )
    )
    http = HttpServer(loop.control, metrics, history, HttpConfig(config.listen, socket_path(state_dir)))
    return Application(loop, http, store, disk, lock)


def make_runtimes(
    config: DaemonConfig, instance: str, clock: Clock, disk: DiskWalker, redactor: SecretRedactor
) -> Mapping[str, Runtime]:
    """The runtimes by name. None of them is connected to yet; an engine that is away is a condition, not an error."""
    state_dir = Path(os.path.abspath(config.state_dir))  # noqa: PTH100 - as above
    workspaces = WorkspaceFolder(state_dir, clock, config.trash_ttl)
    secrets = secrets_of(config.secrets_dir, redactor)
    docker_config = DockerConfig(
        instance=instance,
        engine=config.engine,
        bind_prefixes=tuple(str(path.resolve()) for path in (config.manifests, *config.allow_paths)),
        epoch_file=state_dir / "engine-epoch.json",
        pool_size=config.workers + 8,
    )
    docker = DockerRuntime(docker_config, workspaces, disk, clock, secrets)
    directory = DirectoryRuntime(
        DirectoryConfig(state_dir=state_dir, instance=instance), workspaces, disk, clock, secrets
    )
    return {docker.name: docker, directory.name: directory}


def run_daemon(config: DaemonConfig) -> int:
    """Run until SIGTERM or SIGINT; the exit status. Raises SandkeeperError where it cannot start."""
    redactor = SecretRedactor()
    as_json = None if config.log_format == "auto" else config.log_format == "json"
    configure_logging(sys.stderr, config.log_level, as_json, redactor)
    give_memory_back()
    _raise_descriptor_limit()
    application, notifier = build(config, redactor), Notifier.from_environment()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _stop_or_leave(stopping))
    application.start()
    log.info("serving", manifests=str(config.manifests), state_dir=str(config.state_dir), listen=application.http.url)
    notifier.ready("watching " + str(config.manifests))
    while not stopping.wait(notifier.watchdog):
        if application.loop.daemon.alive():
            notifier.alive()
    notifier.stopping()
    log.info("stopping", message="sandboxes go on")
    application.stop()
    return 0


def _stop_or_leave(stopping: threading.Event) -> None:
    """The first signal asks for an orderly end; the second does not wait for it."""
    if stopping.is_set():
        os._exit(130)
    stopping.set()


def plan_once(config: DaemonConfig) -> tuple[list[str], list[str]]:
    """What a daemon with this configuration would do now: operations and faults, a line each. Changes nothing.

    Warnings are no faults. What a daemon remembers is read from a copy, so that it may run or not.
    Raises SandkeeperError.
    """
    clock, world, disk = SystemClock(), World(), DiskWalker(SystemClock())
    with tempfile.TemporaryDirectory(prefix="sandkeeper-plan-") as copy:
        _recall_from_copy(config.state_dir, Path(copy), world, clock)
    runtimes = make_runtimes(config, read_instance(config.state_dir, config.instance), clock, disk, SecretRedactor())
    intake = Intake(world, _resolver(settings_of(config)), lambda _: None)
    source = _source(config, last_known_good(world), clock, None)
    intake.receive(source.scan_once())
    outlook = Outlook(read_instance(config.state_dir, config.instance), world, runtimes, clock, lambda: "")
    try:
        for runtime in runtimes.values():
            if runtime.capabilities().available:
                world.list_of(runtime.name, frozenset(seen.owner.key for seen in runtime.list()))
        faults = [str(fault) for fault in source.snapshot().faults if not fault.warning]
        return planned_lines(world, outlook), faults
    finally:
        for runtime in runtimes.values():
            runtime.close()
        disk.close()


def _recall_from_copy(state_dir: Path, copy: Path, world: World, clock: Clock) -> None:
    _copy_at_rest([state_dir / name for name in ("state.db", "state.db-wal", "holds.json")], copy)
    store = SqliteStore(copy / "state.db", clock)
    try:
        recall(world, store, JsonHoldStore(copy / "holds.json", clock))
    finally:
        store.close()


def _engine_socket(config: DaemonConfig) -> tuple[Path, ...]:
    """The socket of the engine that is used, which no sandbox may have either; none for an engine that is refused."""
    try:
        return (Path(engine_socket(config.engine)),)
    except EngineUnavailableError:
        return ()


def _copy_at_rest(files: Sequence[Path], folder: Path) -> None:
    """Copy files that belong together; again where a daemon wrote meanwhile, so that they fit each other."""
    for _ in range(_COPY_TRIES):
        before = _versions(files)
        for file in before:
            shutil.copy2(file, folder / file.name)
        if _versions(files) == before:
            return
    raise StateError(f"{files[0].parent} is being written all the time; ask its daemon: sandkeeper plan")


def _versions(files: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    found = {}
    for file in files:
        try:
            status = file.stat()
        except FileNotFoundError:
            continue
        found[file] = (status.st_mtime_ns, status.st_size)
    return found


def _source(
    config: DaemonConfig, baseline: Mapping[Key, Document], clock: Clock, identity_file: Path | None
) -> FolderSource:
    root = Path(os.path.abspath(config.manifests))  # noqa: PTH100 - a symlinked root is watched under its own name
    source_config = SourceConfig(
        root, config.allow_paths, engine_sockets=(*ENGINE_SOCKETS, *_engine_socket(config)), identity_file=identity_file
    )
    return FolderSource(source_config, admit_with_defaults(config), baseline, clock)


def _resolver(settings: ResolveSettings) -> Callable[[Document], Desired]:
    def resolving(document: Document) -> Desired:
        return resolve(document, settings)

    return resolving


def _raise_descriptor_limit() -> None:
    """Thousands of sandboxes keep several descriptors each; children get the old limit back when they are started."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _SOFT_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _SOFT_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
