"""Packages of container sandboxes, as a user sees them: had, changed, kept over a change of isolation, and failing."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from controller.runtime.docker.labels import LABEL_IMAGE_OF
from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import FOREVER, declare, reasons
from tests.support.wheels import only_from, wheel

pytestmark = pytest.mark.docker
GREET = ("exec", "web", "--", "greeting")


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """All that uv can get at; nothing, at first."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


@pytest.fixture
def daemon(docker_host: str, python_image: str, docker_client: DockerClient, wheels: Path) -> Iterator[RunningDaemon]:
    """A daemon without an index; the images that it made go with it."""
    with RunningDaemon(docker_host, environment=only_from(wheels)) as running:
        yield running
        instance = (running.state_dir / "instance").read_text().strip()
    for image in docker_client.images.list(filters={"label": f"{LABEL_IMAGE_OF}={instance}"}):
        docker_client.images.remove(str(image.id), force=True)


def declare_container(daemon: RunningDaemon, *packages: str) -> None:
    daemon.declare("web", image="python:3.11-slim", packages={"python": list(packages)})


def test_packages_are_there_and_an_edit_of_them_replaces_the_container_and_says_so(
    daemon: RunningDaemon, wheels: Path
) -> None:
    for version in ("1.0", "2.0"):
        wheel(wheels, "greeting", version)
    declare_container(daemon, "greeting<2")
    daemon.wait_ready("web")
    assert daemon.cli(*GREET).stdout == "greeting 1.0\n"
    preparing = [event["message"] for event in daemon.events("web") if event["reason"] == "Preparing"]
    assert preparing[0].startswith("an image with packages is built")
    declare_container(daemon, "greeting")
    daemon.until(lambda: daemon.cli(*GREET, check=False).stdout == "greeting 2.0\n", "it has the newer one")
    causes = [event["message"] for event in daemon.events("web") if event["reason"] == "Replacing"]
    assert causes == ['spec.packages.python changed ["greeting<2"] → ["greeting"]']


def test_a_directory_sandbox_that_becomes_a_container_keeps_its_packages(daemon: RunningDaemon, wheels: Path) -> None:
    wheel(wheels, "greeting", "1.0")
    declare(daemon, "web", *FOREVER, packages={"python": ["greeting"]})
    daemon.wait_ready("web")
    assert daemon.cli(*GREET).stdout == "greeting 1.0\n"
    declare_container(daemon, "greeting")
    daemon.until(lambda: daemon.status("web")["isolation"] == "container", "it is a container")
    daemon.wait_ready("web")
    assert daemon.cli(*GREET).stdout == "greeting 1.0\n"
    declare(daemon, "web", *FOREVER, packages={"python": ["greeting"]})
    daemon.until(lambda: daemon.status("web")["isolation"] == "directory", "it is a directory again")
    daemon.wait_ready("web")
    assert daemon.cli(*GREET).stdout == "greeting 1.0\n"


def test_a_package_that_cannot_be_had_is_said_and_had_as_soon_as_it_can_be(daemon: RunningDaemon, wheels: Path) -> None:
    declare_container(daemon, "greeting")
    daemon.until(lambda: "EnvironmentFailed" in reasons(daemon, "web"), "it is said")
    ready = daemon.condition("web", "Ready")
    assert ready["status"] == "False"
    assert "greeting" in json.dumps(daemon.status("web")["conditions"])
    wheel(wheels, "greeting", "1.0")
    daemon.wait_ready("web")  # by its own backoff
    assert daemon.cli(*GREET).stdout == "greeting 1.0\n"


def test_an_image_without_python_is_named_and_the_one_that_runs_goes_on(
    daemon: RunningDaemon, wheels: Path, busybox_image: str
) -> None:
    daemon.declare("web", image=busybox_image)
    daemon.wait_ready("web")
    container = daemon.status("web")["containerID"]
    daemon.declare("web", image=busybox_image, packages={"python": ["greeting"]})
    daemon.until(lambda: daemon.condition("web", "Degraded").get("status") == "True", "it is said")
    assert "has no python3 on its PATH" in daemon.condition("web", "Degraded")["message"]
    assert daemon.status("web")["containerID"] == container


def test_a_daemon_killed_in_the_midst_of_a_build_builds_it_again_and_leaves_nothing(
    daemon: RunningDaemon, wheels: Path, docker_client: DockerClient
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        healthy = daemon.environment
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        daemon.stop()
        daemon.environment = {**healthy, "UV_NO_INDEX": "0", "UV_INDEX_URL": index}
        daemon.start()
        declare_container(daemon, "greeting")
        silent.accept()[0].close()
        daemon.kill()
    wheel(wheels, "greeting", "1.0")
    daemon.environment = healthy
    daemon.start()
    daemon.wait_ready("web")
    assert daemon.cli(*GREET).stdout == "greeting 1.0\n"
    assert docker_client.containers.list(all=True, filters={"name": "sandkeeper-helper-"}) == []
