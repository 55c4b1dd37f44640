"""What the engine tells of our containers as it happens, made into wakes.

Lost events cost nothing: every new connection wakes everything.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import structlog

from controller.model.clock import Clock
from controller.model.errors import EngineUnavailableError, RuntimeFailure
from controller.model.identity import LABEL_INSTANCE, Key
from controller.runtime.docker.client import EngineClient
from controller.runtime.docker.labels import key_of
from controller.runtime.docker.stream import EngineStream, StreamRequest

log = structlog.get_logger(__name__)

_ACTIONS: Final = ("start", "die", "oom", "pause", "unpause", "update", "rename", "destroy")
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_REPLAY_SECONDS: Final = 2  # the engine answers before it subscribes us: what fell between is asked for again


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told: of a new connection (before everything is woken), why one could not be made or broke, and of each
    event with its action, container id and key.
    """

    wake: Callable[[Key | None], None]
    connected: Callable[[], object]
    lost: Callable[[RuntimeFailure], None]
    heard: Callable[[str, str, Key], None]


class EventWatcher:
    """One stream of events, reconnected for ever."""

    def __init__(self, client: EngineClient, instance: str, clock: Clock) -> None:
        self._client = client
        self._instance = instance
        self._clock = clock
        self._lock = threading.Lock()
        self._stream: EngineStream | None = None

    def run(self, listener: Listener, stop: threading.Event) -> None:
        """The body of a thread."""
        pause = _FIRST_PAUSE
        while not stop.is_set():
            started = self._clock.monotonic()
            try:
                self._follow(listener, stop)
            except RuntimeFailure as exc:
                listener.lost(exc)
                log.debug("events_lost", error=str(exc))
            except Exception:
                log.exception("engine_events_panicked")
            lasted = self._clock.monotonic() - started > _LONGEST_PAUSE
            pause = _FIRST_PAUSE if lasted else min(_LONGEST_PAUSE, pause * 2)
            self._clock.wait(stop, pause)

    def reconnect(self) -> None:
        """Give up the present stream: the engine behind it does not answer. From any thread."""
        with self._lock:
            stream = self._stream
        if stream is not None:
            stream.close()

    def _follow(self, listener: Listener, stop: threading.Event) -> None:
        stream = self._client.stream("GET", self._path(), StreamRequest())
        with self._lock:
            self._stream = stream
        try:
            if stop.is_set():
                return
            listener.connected()
            listener.wake(None)
            for event in stream.lines():
                _take(event, listener)
        finally:
            with self._lock:
                self._stream = None
            stream.close()
        if not stop.is_set():
            raise EngineUnavailableError("the engine ended its stream of events")

    def _path(self) -> str:
        filters = {"type": ["container"], "label": [f"{LABEL_INSTANCE}={self._instance}"], "event": list(_ACTIONS)}
        since = int(self._clock.now()) - _REPLAY_SECONDS
        return f"/events?{urlencode({'since': since, 'filters': json.dumps(filters)})}"


def _take(event: Mapping[str, Any], listener: Listener) -> None:
    actor = event.get("Actor") or {}
    key = key_of(actor.get("Attributes") or {})
    if key is not None:
        listener.heard(str(event.get("Action", "")), str(actor.get("ID", "")), key)
        listener.wake(key)
