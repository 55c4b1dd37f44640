"""Real daemons: one with the session's engine, one without any."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
