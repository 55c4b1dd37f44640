"""The private test engine: private, able to come back from a kill, and gone without a trace."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
from docker import DockerClient
from docker.errors import APIError

from tests.support import host, images
from tests.support.engine import Engine, PrivateEngine, sweep

pytestmark = pytest.mark.docker


def output_of(client: DockerClient, image: str, *command: str) -> str:
    output: bytes = client.containers.run(image, list(command), network_mode="none", remove=True)
    return output.decode().strip()


@contextmanager
def up() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The engine as a developer starts it, and its DOCKER_HOST."""
    command = [sys.executable, "-m", "tests.support.engine", "up", images.BUSYBOX]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip().removeprefix("export DOCKER_HOST=")


def traces(root: Path) -> list[object]:
    """All that can be left of the engine in `root`."""
    mounts = Path("/proc/self/mountinfo").read_text()
    cgroups = [*host.CGROUPS.glob(root.name), *host.CGROUPS.glob(f"*/{root.name}")]
    return [*host.Cgroup(root.name).pids(), *re.findall(f"{root}/.*", mounts), *cgroups, *root.parent.glob(root.name)]


def test_the_engine_is_not_the_users(engine: Engine) -> None:
    assert engine.docker_host not in ("unix:///var/run/docker.sock", "unix:///run/docker.sock")


def test_the_busybox_image_runs_its_applets(docker_client: DockerClient, busybox_image: str) -> None:
    command = "for applet in sleep wget nc httpd; do which $applet >&2 || echo no $applet; done"
    assert output_of(docker_client, busybox_image, "sh", "-c", command) == ""


def test_the_python_image_runs_python(docker_client: DockerClient, python_image: str) -> None:
    assert output_of(docker_client, python_image, "python", "--version").startswith("Python 3.")


def test_a_published_port_answers_on_the_loopback_address(docker_client: DockerClient, busybox_image: str) -> None:
    network = docker_client.networks.create("published", driver="bridge")
    container = docker_client.containers.run(
        busybox_image,
        ["httpd", "-f", "-h", "/etc"],
        network=network.name,
        ports={"80/tcp": ("127.0.0.1", 0)},
        detach=True,
    )
    try:
        container.reload()
        port = (container.ports["80/tcp"] or [{}])[0]["HostPort"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/group", timeout=10) as answer:
            assert answer.read().startswith(b"root:")
    finally:
        container.remove(force=True)
        network.remove()


def test_a_pull_fails_at_once_for_no_registry_is_asked(disposable_engine: PrivateEngine) -> None:
    client = disposable_engine.client()
    with pytest.raises(APIError, match="connection refused"):
        client.images.pull("registry.example/none:1")
    client.close()


def test_a_killed_engine_starts_again_and_finds_its_containers_stopped(disposable_engine: PrivateEngine) -> None:
    disposable_engine.load_images(images.BUSYBOX)
    client = disposable_engine.client()
    container = client.containers.run(images.BUSYBOX, ["sleep", "600"], network_mode="none", init=True, detach=True)
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


@pytest.mark.parametrize("end", [PrivateEngine.pause, PrivateEngine.kill, PrivateEngine.restart])
def test_nothing_is_left_of_a_stopped_engine(end: Callable[[PrivateEngine], None]) -> None:
    engine = PrivateEngine(manage_iptables=False)
    with engine:
        engine.load_images(images.BUSYBOX)
        client = engine.client()
        network = client.networks.create("left", driver="bridge")
        bridge = Path(f"/sys/class/net/br-{str(network.id)[:12]}")
        for _ in range(2):
            container = client.containers.run(
                images.BUSYBOX, ["sleep", "600"], network=network.name, init=True, detach=True
            )
        container.pause()
        client.close()
        assert bridge.exists()
        end(engine)
    assert traces(engine.root) == []
    assert not bridge.exists()


def test_up_serves_an_engine_until_it_is_interrupted() -> None:
    with up() as (process, docker_host):
        client = docker.DockerClient(base_url=docker_host)
        assert output_of(client, images.BUSYBOX, "echo", "hello") == "hello"
        client.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert traces(Path(docker_host.removeprefix("unix://")).parent) == []


def test_what_a_killed_run_left_is_swept_by_the_next(engine: Engine) -> None:
    with up() as (process, docker_host):
        process.kill()
    root = Path(docker_host.removeprefix("unix://")).parent
    assert len(host.Cgroup(root.name).pids()) == 2
    sweep()
    assert traces(root) == []
    assert engine.client().ping(), "an engine in use is left alone"
