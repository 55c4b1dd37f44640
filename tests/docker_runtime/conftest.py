"""A Docker runtime on the session's engine for each test, with whatever it made removed afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from tests.docker_runtime.bench import Bench

MakeBench = Callable[[str], Bench]


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[MakeBench]:
    """A bench on the engine of an address; gone with all it made when the test ends."""
    made: list[Bench] = []

    def make(engine: str) -> Bench:
        bench = Bench(tmp_path / f"state{len(made)}", engine)
        made.append(bench)
        return bench

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def bench(make_bench: MakeBench, docker_host: str, busybox_image: str) -> Bench:
    """A runtime on the session's engine, which has the busybox image."""
    return make_bench(docker_host)


@pytest.fixture
def raw(docker_client: DockerClient) -> DockerClient:
    """The same engine as somebody else sees it: for changes from outside and independent looks."""
    return docker_client
