"""The engine's state as it is told on: once for each change, and after each suspicion that proves false."""

from __future__ import annotations

import pytest

from controller.model.errors import EngineUnavailableError
from controller.runtime.docker.client import EngineClient
from controller.runtime.docker.config import DockerConfig
from controller.runtime.docker.epochs import EngineEpochs
from controller.runtime.docker.health import EngineHealth
from tests.docker_runtime.bench import Bench


@pytest.mark.docker
def test_who_planned_while_the_engine_was_suspected_is_told_that_it_is_there(bench: Bench) -> None:
    client = EngineClient(DockerConfig(bench.instance, bench.engine))
    health = EngineHealth(client, EngineEpochs(None, bench.clock, lambda: None), bench.clock, 60.0)
    told: list[bool] = []
    health.on_change = lambda: told.append(health.capabilities().available)
    health.check()
    health.check()
    assert told == [True]
    health.suspect(EngineUnavailableError("a connection broke"))
    assert not health.capabilities().available
    health.check()
    health.check()
    assert told == [True, True]
    client.close()
