"""A served control plane, one for each file of tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from controller.report.http import HttpConfig, HttpServer
from controller.report.metrics import Metrics
from controller.report.usage_history import UsageHistory
from tests.report.plane import FakePlane
from tests.report.values import WEB, view


@dataclass(frozen=True)
class Served:
    """What is served, and where."""

    plane: FakePlane
    history: UsageHistory
    server: HttpServer
    socket: Path


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    plane, history = FakePlane(), UsageHistory()
    metrics = Metrics("0.1.0", ("docker", "directory"), history)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run", "sandkeeper.sock")
        server = HttpServer(plane, metrics, history, HttpConfig("127.0.0.1:0", path))
        server.start()
        yield Served(plane, history, server, path)
        server.stop()


@pytest.fixture
def plane(served: Served) -> FakePlane:
    served.plane.reset(view())
    served.history.forget(WEB)
    return served.plane


@pytest.fixture
def tcp(served: Served, plane: FakePlane) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.server.url, timeout=10) as client:
        yield client


@pytest.fixture
def unix(served: Served, plane: FakePlane) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=str(served.socket))
    with httpx.Client(base_url="http://localhost", transport=transport, timeout=10) as client:
        yield client
