"""A served daemon with sandboxes in every state, and a Prometheus that scrapes it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller.report.http import HttpConfig, HttpServer
from controller.report.usage_history import UsageHistory
from tests.prometheus.scenes import Scene
from tests.prometheus.server import PrometheusServer, eventually

NOBODY = "127.0.0.1:9"
"""A second target on which nobody listens: the discard port."""


@pytest.fixture(scope="module")
def scene() -> Scene:
    """What the daemon shows and counts."""
    return Scene()


@pytest.fixture(scope="module")
def metrics_target(scene: Scene) -> Iterator[str]:
    """The host:port that Prometheus scrapes."""
    server = HttpServer(scene.plane, scene.metrics, UsageHistory(), HttpConfig("127.0.0.1:0"))
    server.start()
    yield server.url.removeprefix("http://")
    server.stop()


@pytest.fixture(scope="module")
def prometheus(metrics_target: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """A Prometheus that has scraped the target at least once."""
    with PrometheusServer(tmp_path_factory.mktemp("prometheus"), [metrics_target, NOBODY]) as server:
        assert eventually(lambda: server.query("up == 1")), "the target was never scraped"
        yield server
