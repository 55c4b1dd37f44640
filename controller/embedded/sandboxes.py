"""The sandboxes below one folder: built, worked in, moved and removed by whoever asks, in whatever process."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final
from uuid import uuid4

import structlog

from controller.embedded.driver import Driver, running_of
from controller.embedded.home import Home
from controller.embedded.kept import Kept, SkillNote
from controller.embedded.manifest import desired_of
from controller.embedded.runtimes import LocalRuntimes
from controller.embedded.strictness import memory_text, why_killed, why_not_started
from controller.model.clock import SystemClock
from controller.model.errors import (
    ConflictError,
    EngineUnavailableError,
    InstanceNotFoundError,
    SandboxError,
    SandboxNotFoundError,
    SandkeeperError,
)
from controller.model.observed import Capabilities, InstanceState, Observed
from controller.model.spec import Desired, Isolation
from controller.plan.cast import RUNTIME_OF
from controller.resolve.defaults import ResolveSettings
from controller.runtime.cgroup.hits import LimitHits
from controller.runtime.protocol import ExecRequest
from controller.sandbox.container_config import ContainerConfig
from controller.skill.definition import Completed
from controller.tools.exec import run_to_end

log = structlog.get_logger(__name__)

_KILLED: Final = 137
_NO_ENV: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a sandbox stands: what is kept of it, its workspace, and what it does: `running`, `paused`, `stopped`,
    `missing`, `creating`, or `unknown` where its engine does not answer."""

    kept: Kept
    workspace: str
    status: str
    container_id: str = ""


class Sandboxes:
    """For any thread, beside others of the same folder. Raises SandkeeperErrors: SandboxNotFoundError on an unknown id,
    ConfigError, EngineUnavailableError, SandboxError and what the runtimes raise.
    """

    def __init__(self, base: Path) -> None:
        clock = SystemClock()
        self.home = Home(base)
        self._runtimes = LocalRuntimes(self.home.base, self.home.instance, clock)
        self._driver = Driver(self.home, self._runtimes, clock)
        own_user = None if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"
        self._settings = ResolveSettings(own_user=own_user)

    def engine(self) -> Capabilities:
        """What the engine can do now; unavailable with the reason where it cannot be reached."""
        return self._runtimes["docker"].capabilities()

    def build(self, skill: SkillNote, isolation: str, config: ContainerConfig) -> str:
        """Make a sandbox and have it run; its id. Where that fails nothing is left of it."""
        kept = Kept(str(uuid4()), skill, isolation, asdict(config))
        desired = desired_of(kept, self._settings)
        self.home.begin(kept)
        with self.home.held(kept.id):
            try:
                self._driver.bring_up(kept, desired, is_new=True)
            except BaseException as exc:
                self._discard(kept.id)
                if isinstance(exc, SandkeeperError) and (why := why_not_started(str(exc), desired.spec.limits)):
                    raise SandboxError(f"{why} ({exc})") from exc
                raise
        return kept.id

    def find(self, id: str) -> Kept:
        """What is kept of a sandbox."""
        kept = self.home.read(id)
        if kept is None:
            raise SandboxNotFoundError(f"sandbox {id} not found below {self.home.base}")
        return kept

    def workspace(self, id: str) -> str:
        """The path of its workspace on this machine."""
        return self._runtimes.workspaces.path(id)

    def standing(self, id: str) -> Standing | None:
        """How it stands; None where none of that id is known."""
        kept = self.home.read(id)
        if kept is None:
            return None
        try:
            observed = self._driver.observe(kept) if kept.record is not None else ()
            status = "creating" if kept.record is None else _status(observed)
        except EngineUnavailableError:
            status = "unknown"
        container = kept.record.instance_id if kept.record is not None and kept.isolation == Isolation.CONTAINER else ""
        return Standing(kept, self.workspace(id), status, container)

    def run(self, id: str, request: ExecRequest) -> Completed:
        """Run a command inside to its end; what is not up is brought up first.

        Raises SandboxError where it failed because a limit was reached.
        """
        kept = self.find(id)
        if not _is_settled(kept):
            kept = self._brought_up(id)
        try:
            return self._run(kept, request)
        except (ConflictError, InstanceNotFoundError):
            return self._run(self._brought_up(id), request)

    def remove(self, id: str) -> bool:
        """Remove it with its workspace; False where none of that id is known."""
        with self.home.held(id) as known:
            kept = self.home.read(id) if known else None
            if kept is None:
                return False
            self._take_down(kept)
            return True

    def migrate(self, id: str, isolation: str, config: ContainerConfig | None) -> None:
        """Have it be a container or a directory from now on, on the same workspace. Where that fails the old one goes
        on as it was.
        """
        with self.home.held(id) as known:
            kept = self.find(id)
            if not known or kept.isolation == isolation:
                return
            wanted = replace(kept, isolation=isolation, config=kept.config if config is None else asdict(config))
            desired = desired_of(wanted, self._settings)
            able = self._runtimes[RUNTIME_OF[desired.spec.isolation]].capabilities()
            if not able.available:
                raise EngineUnavailableError(able.message, able.reason)
            try:
                moved = self._driver.bring_up(kept, desired, until_ready=True)
            except BaseException as exc:
                self._go_back(kept, desired_of(kept, self._settings))
                if not isinstance(exc, SandkeeperError):
                    raise
                why = why_not_started(str(exc), desired.spec.limits) or str(exc)
                raise SandboxError(f"sandbox {id} stays a {kept.isolation}, as it was: {why}") from exc
            self.home.write(replace(moved, isolation=wanted.isolation, config=wanted.config))

    def close(self) -> None:
        """Release sockets and threads; sandboxes go on."""
        self._runtimes.close()

    def _run(self, kept: Kept, request: ExecRequest) -> Completed:
        record = kept.record
        if record is None:
            raise ConflictError(f"sandbox {kept.id} was never built: look again")
        runtime = self._runtimes[record.runtime]
        before, since = runtime.limit_hits(record.instance_id), time.monotonic()
        done = run_to_end(lambda asked: runtime.exec(record.instance_id, asked), request)
        if done.exit_code and (why := self._why_failed(kept, done, before, since)):
            raise SandboxError(f"{why}{_last_words(done)}")
        return done

    def _why_failed(self, kept: Kept, done: Completed, before: LimitHits | None, since: float) -> str:
        """Which limit a command ran into; empty where it failed by itself."""
        limits = desired_of(kept, self._settings).spec.limits
        record = kept.record
        after = self._runtimes[record.runtime].limit_hits(record.instance_id) if record is not None else None
        if after is None and done.exit_code == _KILLED and limits.memory is not None:
            ended = [seen.exit for seen in self._driver.observe(kept) if seen.exit is not None]
            return memory_text(limits.memory, None) if any(end.oom_killed for end in ended) else ""
        return why_killed(before, after, limits, since)

    def _brought_up(self, id: str) -> Kept:
        with self.home.held(id) as known:
            kept = self.find(id)
            if not known:
                raise SandboxNotFoundError(f"sandbox {id} not found: it was removed meanwhile")
            return self._driver.bring_up(kept, desired_of(kept, self._settings))

    def _go_back(self, kept: Kept, desired: Desired) -> None:
        """The move failed: the old one goes on, and nothing of the new one stays."""
        now = self.home.read(kept.id) or kept
        try:
            self._driver.bring_up(now, desired)
        except SandkeeperError as exc:  # the next call that needs it tries again
            log.warning("not_moved_back", sandbox=kept.id, error=str(exc))

    def _take_down(self, kept: Kept) -> None:
        self._driver.take_down(kept)
        self.home.forget(kept.id)
        if ContainerConfig.from_mapping(kept.config).network_mode == "bridge":
            self._runtimes["docker"].collect_garbage(lambda key: self.home.has(key.name))

    def _discard(self, id: str) -> None:
        kept = self.home.read(id)
        if kept is None:
            return
        try:
            self._take_down(kept)
        except SandkeeperError as exc:  # it is known still, and can be cleaned up
            log.warning("half_built_left", sandbox=id, error=str(exc))


@dataclass(frozen=True, slots=True)
class LiveSandbox:
    """Implements ToolSandbox on one of them."""

    sandboxes: Sandboxes = field(repr=False)
    sandbox_id: str
    workspace_path: Path
    isolation_mode: str

    def exec(
        self,
        command: Sequence[str],
        stdin: bytes = b"",
        timeout: float | None = None,
        env: Mapping[str, str] = _NO_ENV,
    ) -> Completed:
        """Run a command inside to its end; after `timeout` seconds its whole tree is killed."""
        return self.sandboxes.run(self.sandbox_id, ExecRequest(tuple(command), stdin, timeout, env))


def _is_settled(kept: Kept) -> bool:
    """False while it is made or moved, or where that was broken off."""
    record = kept.record
    if record is None or record.replacing is not None:
        return False
    return bool(record.instance_id) and record.runtime == RUNTIME_OF[Isolation(kept.isolation)]


def _status(observed: Sequence[Observed]) -> str:
    if running_of(observed) is not None:
        return "running"
    if any(seen.state is InstanceState.PAUSED for seen in observed):
        return "paused"
    return "stopped" if observed else "missing"


def _last_words(done: Completed) -> str:
    said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()[-3:]
    return f"; it said: {' / '.join(said)}" if said else ""
