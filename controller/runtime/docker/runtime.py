"""The façade: what the loop calls, each handed to the part that knows how."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from controller.model.clock import Clock
from controller.model.errors import ConflictError
from controller.model.identity import Key, Owner
from controller.model.observed import Capabilities, ContractRow, InstanceState, Observed, Usage
from controller.model.spec import Desired, Limits, NetworkMode, SandboxSpec
from controller.runtime.cgroup.hierarchy import Hierarchy
from controller.runtime.cgroup.limits import read_limits
from controller.runtime.disk import DiskWalker
from controller.runtime.docker.change import Changer
from controller.runtime.docker.client import EngineClient
from controller.runtime.docker.config import DockerConfig
from controller.runtime.docker.container import RUNTIME, Container
from controller.runtime.docker.contract import Evidence, contract_rows
from controller.runtime.docker.create import Creator
from controller.runtime.docker.engine_process import answering_engine
from controller.runtime.docker.epochs import EngineEpochs
from controller.runtime.docker.events import EventWatcher, Listener
from controller.runtime.docker.exec import DockerExec
from controller.runtime.docker.group import group_of
from controller.runtime.docker.health import EngineHealth
from controller.runtime.docker.images import Images
from controller.runtime.docker.live import live_process
from controller.runtime.docker.logs import DockerLogs
from controller.runtime.docker.networks import Networks
from controller.runtime.docker.observe import Observer
from controller.runtime.docker.oom import OomKills
from controller.runtime.docker.stats import StatsPoller
from controller.runtime.docker.usage import UsageMeter
from controller.runtime.protocol import ExecRequest, ExecSession, LogStream
from controller.runtime.secrets import Secrets
from controller.runtime.workspace import WorkspaceFolder

_JOIN_SECONDS: Final = 2.0


class DockerRuntime:
    """Implements Runtime on a local Docker Engine. Making one connects to nothing: an absent engine is a condition."""

    def __init__(
        self, config: DockerConfig, workspaces: WorkspaceFolder, disk: DiskWalker, clock: Clock, secrets: Secrets
    ) -> None:
        self._clock = clock
        self._secrets = secrets
        self._hierarchy = Hierarchy.detect()
        self._client = EngineClient(config)
        epochs = EngineEpochs(config.epoch_file, clock, lambda: answering_engine(self._client.socket))
        self._health = EngineHealth(self._client, epochs, clock, config.ping_interval)
        epochs.on_lost = self._health.suspect
        self._ooms = OomKills(clock)
        self._observer = Observer(self._client, config.instance, epochs, self._ooms)
        self._meter = UsageMeter(self._hierarchy, disk, StatsPoller(self._client, clock), clock, self._ooms)
        self._networks = Networks(self._client, config.instance, clock)
        self._images = Images(self._client, config.timeouts, clock)
        self._creator = Creator(self._client, config, self._health, workspaces, self._networks)
        self._changer = Changer(self._client, self._observer, self._health, self._meter, config.timeouts)
        self._events = EventWatcher(self._client, config.instance, clock)
        self._lock = threading.Lock()
        self._logs: weakref.WeakSet[DockerLogs] = weakref.WeakSet()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._wire(workspaces)

    def _wire(self, workspaces: WorkspaceFolder) -> None:
        self._client.on_failure = self._health.suspect
        self._health.on_down = self._drop_streams
        self._observer.live_limits = self._changer.live_limits
        self._observer.on_gone = self._gone
        self._changer.before_start = self._before_start
        self._changer.before_unpause = self._creator.give_workspace
        self._meter.known = self._observer.known
        self._meter.workspace = workspaces.path

    @property
    def name(self) -> str:
        """`docker`."""
        return RUNTIME

    def capabilities(self) -> Capabilities:
        """What the engine can do, as found last."""
        return self._health.capabilities()

    def list(self) -> Sequence[Observed]:
        """Every container of this instance."""
        return self._observer.list()

    def inspect(self, key: Key) -> tuple[Observed, ...]:
        """The live containers of a key."""
        return self._observer.inspect(key)

    def prepare(self, desired: Desired) -> None:
        """The image by its pull policy, the namespace's network, and a look at all else that a create can fail with."""
        spec = desired.spec
        self._creator.check(spec, self._secrets)
        self._images.ensure(desired.key, spec.image, spec.pull_policy)
        if spec.network.mode is NetworkMode.BRIDGE:
            self._networks.ensure(desired.key)

    def forgo(self, key: Key) -> None:
        self._images.pulls.leave(key)

    def create(self, desired: Desired, owner: Owner) -> str:
        """Create, not start."""
        return self._creator.create(desired, owner, self._secrets)

    def start(self, target: str) -> None:
        """Start it."""
        self._changer.start(target)

    def stop(self, target: str, grace: float) -> None:
        """SIGTERM (or the image's STOPSIGNAL), after the grace SIGKILL."""
        self._changer.stop(target, grace)

    def kill(self, target: str) -> None:
        """SIGKILL."""
        self._changer.kill(target)

    def pause(self, target: str) -> None:
        """Freeze it."""
        self._changer.pause(target)

    def unpause(self, target: str) -> None:
        """Thaw it."""
        self._changer.unpause(target)

    def update(self, target: str, limits: Limits) -> None:
        """Memory, cpu and pids in place."""
        self._changer.update(target, limits)

    def remove(self, target: str) -> None:
        """Remove it."""
        self._changer.remove(target)

    def exec(self, target: str, request: ExecRequest) -> ExecSession:
        """Run a command inside."""
        container = self._observer.owned(target)
        if container.state is InstanceState.PAUSED:
            raise ConflictError(f"{container.name} is paused and runs nothing: resume it first")
        if container.state is not InstanceState.RUNNING or container.pid is None:
            raise ConflictError(f"{container.name} does not run: start it first")
        return DockerExec(self._client, (container.id, container.pid), request, self._clock)

    def logs(self, target: str, tail: int | None = None, follow: bool = False) -> LogStream:
        """Its output."""
        container = self._observer.owned(target)
        stream = DockerLogs(self._client, container.id, tail, follow)
        with self._lock:
            self._logs.add(stream)
        return stream

    def usage(self, instances: Sequence[Observed]) -> Mapping[str, Usage]:
        """A measurement of each running one."""
        return self._meter.measure(instances)

    def contract(self, instance: Observed, spec: SandboxSpec) -> tuple[ContractRow, ...]:
        """What is really in force on a running one; empty for one that does not run."""
        if instance.pid is None:
            return ()
        container = self._observer.known(instance.id) or self._observer.owned(instance.id)
        paths = group_of(self._hierarchy, instance.id, instance.pid)
        bridged = spec.network.mode is NetworkMode.BRIDGE
        evidence = Evidence(
            container=container,
            group=None if paths is None else read_limits(paths),
            cgroup_version=self._hierarchy.version,
            process=None if paths is None else live_process(instance.pid),
            max_cpu=self._health.capabilities().max_cpu,
            bridge_gap=self._networks.gap(instance.owner.key.namespace) if bridged else "",
        )
        return contract_rows(evidence, spec)

    def watch(self, wake: Callable[[Key | None], None]) -> None:
        """Begin to listen to the engine, and to look after it."""
        self._health.on_change = lambda: wake(None)
        self._images.pulls.listen(wake)
        listener = Listener(wake, self._health.check, self._health.suspect, self._heard)
        for name, body in (
            ("engine-health", lambda: self._health.watch(self._stop)),
            ("engine-events", lambda: self._events.run(listener, self._stop)),
        ):
            thread = threading.Thread(target=body, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def collect_garbage(self, wanted: Callable[[Key], bool]) -> None:
        """Remove networks that nobody uses; forget who wanted images."""
        self._images.pulls.retain(wanted)
        self._networks.collect(wanted)

    def close(self) -> None:
        """End threads and streams; containers go on."""
        self._stop.set()
        self._health.wake()
        self._drop_streams()
        self._images.close()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)  # one may wait for a hung engine; it ends with its call
        self._meter.close()
        self._client.close()

    def _before_start(self, container: Container) -> None:
        self._creator.check_again(container)
        self._creator.give_workspace(container)
        self._networks.guard(container.network)

    def _heard(self, action: str, id: str, key: Key) -> None:
        if action == "destroy":
            self._observer.forget(id)
        elif action == "rename":
            self._observer.renamed(id, key)
        elif action == "oom":
            self._ooms.note(id)

    def _gone(self, id: str) -> None:
        self._ooms.forget(id)
        self._changer.forget(id)

    def _drop_streams(self) -> None:
        """What waits on an engine that does not answer would wait for ever."""
        self._events.reconnect()
        with self._lock:
            streams = list(self._logs)
        for stream in streams:
            stream.close()
