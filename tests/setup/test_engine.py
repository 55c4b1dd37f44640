"""The private test engine: private, able to come back from a kill, and gone without a trace."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from docker import DockerClient

from tests.support import host, images
from tests.support.engine import Engine, PrivateEngine

pytestmark = pytest.mark.docker


def run(client: DockerClient, image: str, *command: str) -> str:
    output: bytes = client.containers.run(image, list(command), network_mode="none", remove=True)
    return output.decode().strip()


def test_the_engine_is_not_the_users(engine: Engine) -> None:
    assert engine.docker_host not in ("unix:///var/run/docker.sock", "unix:///run/docker.sock")


def test_the_busybox_image_runs_its_applets(docker_client: DockerClient, busybox_image: str) -> None:
    command = "for applet in sleep wget nc httpd; do which $applet >&2 || echo no $applet; done"
    assert run(docker_client, busybox_image, "sh", "-c", command) == ""


def test_the_python_image_runs_python(docker_client: DockerClient, python_image: str) -> None:
    assert run(docker_client, python_image, "python", "--version").startswith("Python 3.")


def test_a_killed_engine_starts_again_and_finds_its_containers_stopped(disposable_engine: PrivateEngine) -> None:
    disposable_engine.load_images(images.BUSYBOX)
    client = disposable_engine.client()
    container = client.containers.run(images.BUSYBOX, ["sleep", "600"], network_mode="none", detach=True)
    disposable_engine.kill()
    assert not disposable_engine.answers()
    disposable_engine.start()
    container.reload()
    client.close()
    assert container.status == "exited"


def test_a_paused_engine_does_not_answer_until_it_is_resumed(disposable_engine: PrivateEngine) -> None:
    disposable_engine.pause()
    assert not disposable_engine.answers()
    disposable_engine.resume()
    assert disposable_engine.answers()


def test_nothing_is_left_of_a_stopped_engine_with_running_and_paused_containers() -> None:
    before = (subprocess.check_output(["iptables-save"]), sorted(Path("/sys/class/net").iterdir()))
    engine = PrivateEngine(manage_iptables=False)
    engine.start()
    engine.load_images(images.BUSYBOX)
    client = engine.client()
    network = client.networks.create("left", driver="bridge").name
    for _ in range(2):
        container = client.containers.run(images.BUSYBOX, ["sleep", "600"], network=network, detach=True)
    container.pause()
    client.close()
    assert len(host.Cgroup(engine.root.name).pids()) >= 6
    engine.stop()
    assert host.Cgroup(engine.root.name).pids() == set()
    assert str(engine.root) not in Path("/proc/self/mountinfo").read_text()
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{engine.root.name}"))
    assert not engine.root.exists()
    assert before[1] == sorted(Path("/sys/class/net").iterdir())
