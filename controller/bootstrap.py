"""Wires everything: the one place where rooms meet."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from controller import __version__
from controller.allocator import give_memory_back
from controller.config import DaemonConfig, socket_path
from controller.loop.daemon import last_known_good, recall
from controller.loop.lock import InstanceLock, instance_of
from controller.loop.pulse import Identity
from controller.loop.wiring import Loop, Seams, wire
from controller.loop.world import World
from controller.model.clock import Clock, SystemClock
from controller.model.errors import EngineUnavailableError
from controller.model.identity import Key
from controller.model.manifest import Document, FieldFault
from controller.model.skill import SkillFacts
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
from controller.runtime.directory.reach import may_mount
from controller.runtime.directory.runtime import DirectoryRuntime
from controller.runtime.disk import DiskWalker
from controller.runtime.docker.config import DockerConfig
from controller.runtime.docker.locate import engine_socket
from controller.runtime.docker.runtime import DockerRuntime
from controller.runtime.protocol import Runtime
from controller.runtime.secrets import Secrets
from controller.runtime.workspace import WorkspaceFolder
from controller.secrecy import redacting, secrets_of
from controller.signals import StopSignals
from controller.skill.store import SkillStore
from controller.source.config import SourceConfig
from controller.source.folder import FolderSource
from controller.source.host_paths import ENGINE_SOCKETS
from controller.source.memory import Memory
from controller.source.protocol import Admit, ReadSkill

log = structlog.get_logger(__name__)

_SOFT_DESCRIPTORS: Final = 65536


@dataclass(frozen=True, slots=True)
class Shared:
    """What all runtimes work with."""

    clock: Clock
    disk: DiskWalker
    workspaces: WorkspaceFolder
    secrets: Secrets


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
        """End everything; sandboxes go on. The folder is given up only once nothing works on a sandbox any more."""
        is_done = self.loop.daemon.stop()
        self.http.stop()
        self.disk.close()
        self.store.close()
        if is_done:
            self.lock.release()


def settings_of(config: DaemonConfig) -> ResolveSettings:
    """What resolution needs to know."""
    own_user = None if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"
    return ResolveSettings(defaults=config.defaults, own_user=own_user, skills_folder=str(config.skills_folder))


def admit_with_defaults(config: DaemonConfig | None = None) -> Admit:
    """The checks beyond the schema, as `validate` and the daemon's source apply them."""
    settings = settings_of(config or DaemonConfig())

    def admitting(body: dict[str, Any], skill: SkillFacts | None) -> Sequence[FieldFault]:
        return admit(body, settings, skill)

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
    shared = shared_by_runtimes(config, clock, redactor)
    runtimes = make_runtimes(config, identity.instance, shared)
    skills = skill_store(config, clock)
    memory = SourceMemory(last_known_good(world), state_dir / "source.json")
    history = UsageHistory()
    metrics = Metrics(__version__, tuple(runtimes), history)
    loop = wire(
        Seams(
            identity=identity,
            world=world,
            source=make_source(config, memory, clock, skills.read),
            resolve=make_resolver(settings_of(config)),
            runtimes=runtimes,
            workspaces=shared.workspaces,
            skills=skills,
            store=store,
            hold_store=hold_store,
            recorder=metrics,
            clock=clock,
            publish=history.observe,
            redact=redacting(shared.secrets, redactor),
            tick=config.tick,
            workers=config.workers,
            cleanup=config.cleanup,
        )
    )
    http = HttpServer(loop.control, metrics, history, HttpConfig(config.listen, socket_path(state_dir)))
    return Application(loop, http, store, shared.disk, lock)


def shared_by_runtimes(config: DaemonConfig, clock: Clock, redactor: SecretRedactor) -> Shared:
    """The folders and the walker that each runtime is given."""
    workspaces = WorkspaceFolder(config.state_dir, clock, config.trash_ttl)
    return Shared(clock, DiskWalker(clock), workspaces, secrets_of(config.secrets_dir, redactor))


def make_runtimes(config: DaemonConfig, instance: str, shared: Shared) -> Mapping[str, Runtime]:
    """The runtimes by name. None of them is connected to yet; an engine that is away is a condition, not an error."""
    given = (shared.workspaces, shared.disk, shared.clock, shared.secrets)
    docker = DockerRuntime(docker_config(config, instance), *given)
    directory = DirectoryRuntime(directory_config(config, instance), *given)
    return {docker.name: docker, directory.name: directory}


def docker_config(config: DaemonConfig, instance: str) -> DockerConfig:
    """What the Docker runtime is told."""
    state_dir = Path(os.path.abspath(config.state_dir))  # noqa: PTH100 - as above
    return DockerConfig(
        instance=instance,
        engine=config.engine,
        bind_prefixes=tuple(str(path.resolve()) for path in (config.manifests, *config.allow_paths)),
        forbidden=tuple(str(path.resolve()) for path in config.own_folders()),
        epoch_file=state_dir / "engine-epoch.json",
        skills_folder=str(config.skills_folder),
        cache_dir=state_dir / "cache",
        cleanup=config.cleanup,
        pool_size=config.workers + 8,
    )


def directory_config(config: DaemonConfig, instance: str) -> DirectoryConfig:
    """What the directory runtime is told."""
    state_dir = Path(os.path.abspath(config.state_dir))  # noqa: PTH100 - as above
    return DirectoryConfig(state_dir=state_dir, instance=instance)


def run_daemon(config: DaemonConfig) -> int:
    """Run until SIGTERM or SIGINT; the exit status. Raises SandkeeperError where it cannot start."""
    redactor = SecretRedactor()
    as_json = None if config.log_format == "auto" else config.log_format == "json"
    configure_logging(sys.stderr, config.log_level, as_json, redactor)
    give_memory_back()
    _raise_descriptor_limit()
    application, notifier = build(config, redactor), Notifier.from_environment()
    with StopSignals() as signals:
        application.start()
        log.info(
            "serving", manifests=str(config.manifests), state_dir=str(config.state_dir), listen=application.http.url
        )
        notifier.ready("watching " + str(config.manifests))
        while not signals.wait(notifier.watchdog):
            if application.loop.daemon.alive():
                notifier.alive()
        notifier.stopping()
        log.info("stopping", message="sandboxes go on")
        application.stop()
    return 0


def _engine_socket(config: DaemonConfig) -> tuple[Path, ...]:
    """The socket of the engine that is used, which no sandbox may have either; none for an engine that is refused."""
    try:
        return (Path(engine_socket(config.engine)),)
    except EngineUnavailableError:
        return ()


@dataclass(frozen=True, slots=True)
class SourceMemory:
    """What a source begins with: the last good documents, and what it remembers; see SourceConfig."""

    baseline: Mapping[Key, Document]
    file: Path | None = None
    remembered: Memory | None = None


def skill_store(config: DaemonConfig, clock: Clock) -> SkillStore:
    """Where the files of skills are kept. Others than root pass through only where they have to see them there."""
    passed_through = os.geteuid() == 0 and not may_mount()
    return SkillStore(config.skills_folder, 0o711 if passed_through else 0o700, clock)


def make_source(config: DaemonConfig, memory: SourceMemory, clock: Clock, read_skill: ReadSkill) -> FolderSource:
    """The watched folder; not yet watched."""
    root = Path(os.path.abspath(config.manifests))  # noqa: PTH100 - a symlinked root is watched under its own name
    source_config = SourceConfig(
        root,
        config.allow_paths,
        engine_sockets=(*ENGINE_SOCKETS, *_engine_socket(config)),
        memory_file=memory.file,
        remembered=memory.remembered,
        forbidden=config.own_folders(),
        read_skill=read_skill,
    )
    return FolderSource(source_config, admit_with_defaults(config), memory.baseline, clock)


def make_resolver(settings: ResolveSettings) -> Callable[[Document], Desired]:
    """Resolution with those settings."""

    def resolving(document: Document) -> Desired:
        return resolve(document, settings)

    return resolving


def _raise_descriptor_limit() -> None:
    """Thousands of sandboxes keep several descriptors each; children get the old limit back when they are started."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _SOFT_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _SOFT_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
