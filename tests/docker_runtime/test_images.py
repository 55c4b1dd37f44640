"""Images by pull policy, on an engine that reaches no registry."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from docker import DockerClient

from controller.model.errors import CannotRunError, ImageUnavailableError
from controller.model.spec import PullPolicy
from tests.docker_runtime.bench import Bench, desired, until

pytestmark = pytest.mark.docker
ABSENT = "127.0.0.1:9/no/such-image:1"


@pytest.mark.parametrize("policy", ["IfNotPresent", "Never"])
def test_a_present_image_is_taken_as_it_is(bench: Bench, policy: str) -> None:
    bench.runtime.prepare(desired("web", {"imagePullPolicy": policy}))


def test_never_says_how_to_bring_the_image(bench: Bench) -> None:
    with pytest.raises(ImageUnavailableError, match=r"imagePullPolicy is Never.*docker load"):
        bench.runtime.prepare(desired("web", {"image": ABSENT, "imagePullPolicy": "Never"}))


def test_an_image_that_cannot_be_pulled_fails_soon_with_the_cause(bench: Bench) -> None:
    started = bench.clock.monotonic()
    with pytest.raises(ImageUnavailableError, match=f"{ABSENT} cannot be pulled: .*127.0.0.1:9.*docker load"):
        bench.runtime.prepare(desired("web", {"image": ABSENT}))
    assert bench.clock.monotonic() - started < 5


def test_always_pulls_though_the_image_is_there(bench: Bench, raw: DockerClient) -> None:
    raw.api.tag("busybox:latest", "127.0.0.1:9/present", "1")
    with pytest.raises(ImageUnavailableError):
        bench.runtime.prepare(desired("web", {"image": "127.0.0.1:9/present:1", "imagePullPolicy": "Always"}))
    bench.runtime.prepare(desired("web", {"image": "127.0.0.1:9/present:1"}))
    raw.api.remove_image("127.0.0.1:9/present:1")


def test_a_name_that_is_none_is_said_to_be_none(bench: Bench) -> None:
    with pytest.raises(CannotRunError, match="invalid reference format"):
        bench.runtime.prepare(desired("web", {"image": "Not:A:Name"}))


def test_an_image_gone_between_prepare_and_create_is_an_image_failure(bench: Bench, raw: DockerClient) -> None:
    raw.api.tag("busybox:latest", "short-lived", "1")
    bench.runtime.prepare(desired("web", {"image": "short-lived:1"}))
    raw.api.remove_image("short-lived:1")
    with pytest.raises(ImageUnavailableError):
        bench.create(spec={"image": "short-lived:1", "imagePullPolicy": "Never"})


class SlowRegistry(http.server.BaseHTTPRequestHandler):
    """Counts its visitors and keeps each of them until the gate opens, then has nothing."""

    gate = threading.Event()
    visits = 0

    def do_GET(self) -> None:
        type(self).visits += 1
        self.gate.wait(20)
        self.send_error(404)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def slow_registry() -> Iterator[type[SlowRegistry]]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowRegistry)
    SlowRegistry.visits = 0
    SlowRegistry.gate.clear()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    SlowRegistry.address = f"127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]  # handed to the test
    yield SlowRegistry
    SlowRegistry.gate.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_those_who_want_one_image_wait_for_one_pull(bench: Bench, slow_registry: type[SlowRegistry]) -> None:
    image = f"{slow_registry.address}/image:1"  # type: ignore[attr-defined]  # set by the fixture
    failures: list[Exception] = []

    def prepare(name: str) -> None:
        try:
            bench.runtime.prepare(desired(name, {"image": image}))
        except ImageUnavailableError as exc:
            failures.append(exc)

    images = bench.runtime._images
    threads = [threading.Thread(target=prepare, args=(f"web{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: slow_registry.visits > 0)
    assert len(images._streams) == 1
    visits = slow_registry.visits
    slow_registry.gate.set()
    for thread in threads:
        thread.join()
    assert (len(failures), images._streams, images._pulls) == (4, set(), {})
    assert visits <= 2


def test_a_pull_holds_up_nobody_else(bench: Bench, slow_registry: type[SlowRegistry]) -> None:
    image = f"{slow_registry.address}/image:1"  # type: ignore[attr-defined]  # set by the fixture
    thread = threading.Thread(target=lambda: _pull(bench, image), daemon=True)
    thread.start()
    until(lambda: slow_registry.visits > 0)
    bench.runtime.prepare(desired())
    bench.run()
    slow_registry.gate.set()
    thread.join()


def test_closing_ends_a_pull_that_waits(bench: Bench, slow_registry: type[SlowRegistry]) -> None:
    image = f"{slow_registry.address}/image:1"  # type: ignore[attr-defined]  # set by the fixture
    thread = threading.Thread(target=lambda: _pull(bench, image), daemon=True)
    thread.start()
    until(lambda: slow_registry.visits > 0)
    bench.runtime.close()
    thread.join(2)
    assert not thread.is_alive()
    bench.runtime = bench.another()


def _pull(bench: Bench, image: str) -> None:
    with pytest.raises(ImageUnavailableError):
        bench.runtime._images.ensure(image, PullPolicy.ALWAYS)
