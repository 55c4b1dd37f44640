"""What is slow (an image to be had, packages, a grace period) holds up its own sandbox and nothing else."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from docker import DockerClient

from tests.e2e.containers import Outside, metric
from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import FOREVER, declare

MANY = 12  # more than a daemon has workers
PROMPTLY = 5.0


@pytest.fixture
def mute() -> Iterator[str]:
    """host:port of a registry, or index, that takes requests and answers none."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.docker
def test_while_images_are_pulled_their_lane_goes_on(daemon: RunningDaemon, outside: Outside, mute: str) -> None:
    daemon.declare("old")
    daemon.wait_ready("old")
    for number in range(MANY):
        daemon.declare(f"one{number}", image=f"{mute}/one:1")
        daemon.declare(f"own{number}", image=f"{mute}/own{number}:1")
    daemon.until(lambda: len(daemon.sandboxes()) == 2 * MANY + 1, "all of them are known")
    began = time.monotonic()
    daemon.declare("new")
    daemon.wait_ready("new")
    daemon.declare("old", image=f"{mute}/one:1")
    daemon.until(lambda: daemon.status("old")["observedGeneration"] == 2, "its edit is seen")
    daemon.wait_ready("old")
    daemon.undeclare("old")
    daemon.undeclare("new")
    daemon.undeclare("one0")
    for name in ("old", "new", "one0"):
        daemon.wait_gone(name)
    assert outside.containers() == []
    assert time.monotonic() - began < 3 * PROMPTLY
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < PROMPTLY


@pytest.mark.docker
def test_an_image_that_has_come_makes_its_sandboxes_and_counts_once_for_each(
    daemon: RunningDaemon, docker_client: DockerClient, mute: str
) -> None:
    names = [f"web{number}" for number in range(3)]
    for name in names:
        daemon.declare(name, image=f"{mute}/late:1")
    daemon.until(lambda: [item["status"]["phase"] for item in daemon.sandboxes().values()] == ["Creating"] * 3, "wait")
    assert metric(daemon, "sandkeeper_operations_total", operation="prepare", result="success") in (None, 0.0)
    docker_client.api.tag("busybox:latest", f"{mute}/late", "1")
    daemon.cli("reconcile")
    daemon.wait_ready(*names)
    assert metric(daemon, "sandkeeper_operations_total", operation="prepare", result="success") == 3.0
    assert metric(daemon, "sandkeeper_operation_duration_seconds_count", operation="prepare") == 3.0
    docker_client.api.remove_image(f"{mute}/late:1", force=True)


def test_while_packages_are_installed_other_directories_go_on(mute: str) -> None:
    with RunningDaemon(None, environment={"UV_INDEX_URL": f"http://{mute}/simple"}) as daemon:
        for number in range(MANY):
            declare(daemon, f"slow{number}", *FOREVER, packages={"python": ["greeting"]})
        daemon.until(lambda: len(daemon.sandboxes()) == MANY, "all of them are known")
        began = time.monotonic()
        declare(daemon, "plain", *FOREVER)
        daemon.wait_ready("plain")
        daemon.undeclare("plain")
        daemon.wait_gone("plain")
        assert time.monotonic() - began < 2 * PROMPTLY
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < PROMPTLY


def test_while_deaf_processes_have_their_grace_other_directories_go_on() -> None:
    deaf = ("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    with RunningDaemon(None) as daemon:
        names = [f"deaf{number}" for number in range(MANY)]
        for name in names:
            declare(daemon, name, *deaf, stopGracePeriod="10s")
        daemon.wait_ready(*names)
        for name in names:
            declare(daemon, name, *deaf, stopGracePeriod="10s", operatingMode="Suspended")
        began = time.monotonic()
        declare(daemon, "plain", *FOREVER)
        daemon.wait_ready("plain")
        daemon.undeclare("plain")
        daemon.wait_gone("plain")
        assert time.monotonic() - began < PROMPTLY
        for name in names:
            daemon.wait_condition(name, "Suspended", "True")
        assert time.monotonic() - began > 9
