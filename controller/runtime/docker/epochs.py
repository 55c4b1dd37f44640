"""The engine's restarts, remembered, so that an exit seen across one is not taken for the sandbox's own doing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import structlog

from controller.model.clock import Clock
from controller.model.errors import EngineUnavailableError
from controller.runtime.docker.engine_process import EngineProcess

log = structlog.get_logger(__name__)

# An engine that goes down sends SIGTERM, then SIGKILL; one that comes back kills what outlived it, or writes 255.
_ENDED_BY_ENGINE: Final = frozenset({137, 143, 255})
# dockerd's own --shutdown-timeout is 15 s; within it a sandbox that obeys SIGTERM can end with any status.
_SHUTDOWN_SECONDS: Final = 20.0
_NOTICE_SECONDS: Final = 2.0  # how late a busy daemon may notice that its connection broke
_REMEMBERED: Final = 8


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which the engine was not up all along; epoch seconds.

    From `certain_from` on every end counts as its doing, before that only those by its signals.
    """

    since: float
    until: float
    certain_from: float

    def explains(self, finished_at: float, code: int) -> bool:
        """Whether an end at that time with that status is the outage's doing."""
        if not self.since <= finished_at <= self.until:
            return False
        return code in _ENDED_BY_ENGINE or finished_at >= self.certain_from


class EngineEpochs:
    """Which engine process was last seen, and when it was another before. Every method is for any thread.

    `on_lost` is called where an exit shows that the engine goes.
    """

    def __init__(self, file: Path | None, clock: Clock, identify: Callable[[], EngineProcess | None]) -> None:
        self._file = file
        self._clock = clock
        self._identify = identify
        self._lock = threading.Lock()
        self._is_connected = False
        self._was_away = False
        self._token, self._seen_at, self._lost_at, self._outages = _load(file)
        self.on_lost: Callable[[EngineUnavailableError], None] = lambda _: None

    @property
    def seen_at(self) -> float:
        """When the engine was last confirmed to be the one known."""
        return self._seen_at

    def lost(self, at: float | None = None) -> None:
        """The connection to the engine broke, just now if not `at` another time: its shutdown may begin.

        One that was never had since the daemon began cannot break: the engine went before, nobody knows when.
        """
        with self._lock:
            self._was_away = True
            if self._lost_at is None and self._is_connected:
                self._lost_at = self._clock.now() if at is None else at
                self._save()

    def confirm(self) -> bool:
        """The engine answers: note which it is. True where it is another than before.

        Raises EngineUnavailableError where it takes no new connections: one that shuts down still answers on old ones.
        """
        try:
            process = self._identify()
        except OSError as exc:
            raise EngineUnavailableError("the engine takes no new connections: it is shutting down, or hangs") from exc
        now = self._clock.now()
        with self._lock:
            if process is None and self._token:
                return False  # it could be told before: look again with the next answer
            restarted = self._is_another(process)
            if restarted:
                self._remember_outage(now, process)
            if process is not None:
                self._token = process.token
            self._seen_at, self._lost_at = now, None
            self._is_connected, self._was_away = True, False
            self._save()
        return restarted

    def explains(self, finished_at: float, code: int) -> bool:
        """Whether a container that ended then with that status was ended by the engine's own going.

        Raises EngineUnavailableError where it goes just now: only the next one can tell.
        """
        if finished_at > self._seen_at:
            # It ended after the last look: perhaps with an engine that goes, or that has come back meanwhile.
            try:
                self.confirm()
            except EngineUnavailableError as exc:
                self.lost(max(finished_at, self._clock.now() - _NOTICE_SECONDS))
                self.on_lost(exc)
                raise
        return any(outage.explains(finished_at, code) for outage in self._outages)

    def _is_another(self, process: EngineProcess | None) -> bool:
        if process is None:
            return self._was_away  # it can never be told here: any broken connection may be a restart
        return bool(self._token) and process.token != self._token

    def _remember_outage(self, now: float, process: EngineProcess | None) -> None:
        started_at = now if process is None else process.started_at
        if self._lost_at is None:
            since, certain = self._seen_at, started_at - _SHUTDOWN_SECONDS
        else:
            since, certain = self._lost_at - _NOTICE_SECONDS, self._lost_at
        since = max(since, self._seen_at)
        self._outages = (*self._outages, Outage(since, now, max(since, certain)))[-_REMEMBERED:]
        log.warning("engine_restarted", since=since, until=now)

    def _save(self) -> None:
        if self._file is None:
            return
        outages = [asdict(each) for each in self._outages]
        state = {"token": self._token, "seenAt": self._seen_at, "lostAt": self._lost_at, "outages": outages}
        partial = self._file.with_suffix(".partial")
        try:
            partial.write_text(json.dumps(state))
            partial.replace(self._file)
        except OSError as exc:
            log.warning("engine_epoch_not_saved", file=str(self._file), error=str(exc))


def _load(file: Path | None) -> tuple[str, float, float | None, tuple[Outage, ...]]:
    """What the file says; nothing where it says nothing readable: then no exit is explained, and the policy decides."""
    if file is None or not file.exists():
        return "", 0.0, None, ()
    try:
        state = json.loads(file.read_text())
        outages = tuple(Outage(**each) for each in state["outages"])
        lost_at = state.get("lostAt")
        return str(state["token"]), float(state["seenAt"]), None if lost_at is None else float(lost_at), outages
    except (OSError, ValueError, KeyError, TypeError) as exc:
        log.warning("engine_epoch_unreadable", file=str(file), error=str(exc))
        return "", 0.0, None, ()
