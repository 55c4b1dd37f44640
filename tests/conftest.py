"""The engine and its images for every test, and what becomes of tests whose needs this machine does not meet."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator

import pytest
from docker import DockerClient

from tests.support import host, images
from tests.support.engine import Engine, PrivateEngine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine that DOCKER_HOST gives, else a private one for the session. Tests must not stop it."""
    given = os.environ.get("DOCKER_HOST")
    if given:
        yield Engine(given)
        return
    with PrivateEngine() as private:
        yield private


@pytest.fixture
def disposable_engine() -> Iterator[PrivateEngine]:
    """A private engine of the test's own, to be killed, paused and restarted. It leaves iptables alone."""
    with PrivateEngine(manage_iptables=False) as private:
        yield private


@pytest.fixture(scope="session")
def docker_host(engine: Engine) -> str:
    """The engine's address, as DOCKER_HOST wants it."""
    return engine.docker_host


@pytest.fixture(scope="session")
def docker_client(engine: Engine) -> Iterator[DockerClient]:
    """A docker-py client of the session's engine."""
    client = engine.client()
    yield client
    client.close()


@pytest.fixture(scope="session")
def busybox_image(engine: Engine) -> str:
    """The name of a busybox image, present in the session's engine: sh, sleep, wget, nc, httpd and the rest."""
    engine.load_images(images.BUSYBOX)
    return images.BUSYBOX


@pytest.fixture(scope="session")
def python_image(engine: Engine) -> str:
    """The name of an image with Debian's python3, present in the session's engine."""
    engine.load_images(images.PYTHON)
    return images.PYTHON


def pytest_configure() -> None:
    """Hear Ctrl-C, and let programs under test hear it, also where a shell started the tests in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that this machine cannot run, or fail it where REQUIRE_ENGINE=1 forbids skipping."""
    lack = _lack(item)
    if lack is None:
        return
    if os.environ.get("REQUIRE_ENGINE") == "1":
        pytest.fail(f"REQUIRE_ENGINE=1, but {lack}", pytrace=False)
    pytest.skip(lack)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was not tested."""
    skipped = terminalreporter.stats.get("skipped", [])
    for reason, count in Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped).items():
        terminalreporter.write_sep("!", f"{count} SKIPPED: {reason}", yellow=True, bold=True)


def _lack(item: pytest.Item) -> str | None:
    """What this machine lacks for the test; None when it can run."""
    is_root = os.geteuid() == 0
    names = set(getattr(item, "fixturenames", ()))
    needs_private = "disposable_engine" in names
    needs_engine = needs_private or "engine" in names or item.get_closest_marker("docker") is not None
    if item.get_closest_marker("root") and not is_root:
        return "it needs root"
    if not needs_engine or (os.environ.get("DOCKER_HOST") and not needs_private):
        return None
    if not is_root:
        return "a private Docker engine needs root (or set DOCKER_HOST to an engine that tests may use)"
    if host.find("dockerd") is None:
        return "dockerd is not installed (as root: scripts/setup-tests.sh)"
    return None
