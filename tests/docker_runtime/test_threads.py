"""What looks after the engine goes on looking, whatever a look meets."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.model.errors import EngineUnavailableError
from controller.runtime.docker.client import EngineClient
from controller.runtime.docker.config import DockerConfig
from controller.runtime.docker.epochs import EngineEpochs
from controller.runtime.docker.events import EventWatcher, Listener
from controller.runtime.docker.health import EngineHealth
from controller.runtime.docker.stats import StatsPoller
from tests.support.clock import FakeClock


@pytest.fixture
def client(tmp_path: Path) -> EngineClient:
    return EngineClient(DockerConfig("test", f"unix://{tmp_path}/none.sock"))


class Visits:
    """Stands for a call: panics at first, and stops the thread at the third visit."""

    def __init__(self, stop: threading.Event, then: Callable[[], Any]) -> None:
        self.count = 0
        self._stop = stop
        self._then = then

    def __call__(self, *_: object, **__: object) -> Any:
        self.count += 1
        if self.count == 1:
            raise ValueError("nobody has thought of this")
        if self.count == 3:
            self._stop.set()
        return self._then()


def away() -> None:
    raise EngineUnavailableError("not there")


def test_the_engines_health_is_watched_on(client: EngineClient, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stop = FakeClock(), threading.Event()
    health = EngineHealth(client, EngineEpochs(None, clock, lambda: None), clock, 15.0)
    visits = Visits(stop, away)
    monkeypatch.setattr(client, "ping", visits)
    health.watch(stop)
    assert visits.count == 3


def test_events_are_followed_on(client: EngineClient, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    visits = Visits(stop, away)
    monkeypatch.setattr(client, "stream", visits)
    listener = Listener(lambda _: None, lambda: None, lambda _: None, lambda *_: None)
    EventWatcher(client, "test", FakeClock()).run(listener, stop)
    assert visits.count == 3


def test_usage_is_asked_for_on(client: EngineClient, monkeypatch: pytest.MonkeyPatch) -> None:
    poller = StatsPoller(client, FakeClock())
    visits = Visits(poller._stop, lambda: {"memory_stats": {"usage": 5}})
    monkeypatch.setattr(client, "get", visits)
    poller._wanted = frozenset({"web"})
    poller._run()
    found = poller.sample("web")
    assert found is not None
    assert found[1].working_set == 5
