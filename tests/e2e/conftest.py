"""Real daemons: one with the session's engine, one without any."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from docker import DockerClient

from tests.e2e.containers import Outside
from tests.e2e.daemon import RunningDaemon


@pytest.fixture
def daemon(docker_host: str, busybox_image: str) -> Iterator[RunningDaemon]:
    """A daemon on the session's engine, which has busybox."""
    with RunningDaemon(docker_host) as running:
        yield running


@pytest.fixture
def engineless() -> Iterator[RunningDaemon]:
    """A daemon that finds no engine."""
    with RunningDaemon(None) as running:
        yield running


@pytest.fixture(scope="module")
def shared(docker_host: str, busybox_image: str) -> Iterator[RunningDaemon]:
    """One daemon on the session's engine for all tests of a file, each with sandboxes of its own."""
    with RunningDaemon(docker_host) as running:
        yield running


@pytest.fixture
def outside(docker_client: DockerClient, daemon: RunningDaemon) -> Outside:
    """The daemon's containers as somebody else sees them."""
    return Outside(docker_client, daemon)


@pytest.fixture
def outside_shared(docker_client: DockerClient, shared: RunningDaemon) -> Outside:
    """The shared daemon's containers as somebody else sees them."""
    return Outside(docker_client, shared)
