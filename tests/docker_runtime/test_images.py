"""Images by pull policy, on an engine that reaches no registry."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from docker import DockerClient

from controller.model.errors import CannotRunError, ImageUnavailableError, PreparingError
from controller.model.identity import Key
from tests.docker_runtime.bench import Bench, desired, until
from tests.support.preparing import prepared

pytestmark = pytest.mark.docker
ABSENT = "127.0.0.1:9/no/such-image:1"


@pytest.mark.parametrize("policy", ["IfNotPresent", "Never"])
def test_a_present_image_is_taken_as_it_is(bench: Bench, policy: str) -> None:
    prepared(bench.runtime, desired("web", {"imagePullPolicy": policy}))


def test_never_says_how_to_bring_the_image(bench: Bench) -> None:
    with pytest.raises(ImageUnavailableError, match=r"imagePullPolicy is Never.*docker load"):
        prepared(bench.runtime, desired("web", {"image": ABSENT, "imagePullPolicy": "Never"}))


def test_an_image_that_cannot_be_pulled_fails_soon_with_the_cause(bench: Bench) -> None:
    started = bench.clock.monotonic()
    with pytest.raises(ImageUnavailableError, match=f"{ABSENT} cannot be pulled: .*127.0.0.1:9.*docker load"):
        prepared(bench.runtime, desired("web", {"image": ABSENT}))
    assert bench.clock.monotonic() - started < 5


def test_always_pulls_though_the_image_is_there(bench: Bench, raw: DockerClient) -> None:
    raw.api.tag("busybox:latest", "127.0.0.1:9/present", "1")
    with pytest.raises(ImageUnavailableError):
        prepared(bench.runtime, desired("web", {"image": "127.0.0.1:9/present:1", "imagePullPolicy": "Always"}))
    prepared(bench.runtime, desired("web", {"image": "127.0.0.1:9/present:1"}))
    raw.api.remove_image("127.0.0.1:9/present:1")


def test_a_name_that_is_none_is_said_to_be_none(bench: Bench) -> None:
    with pytest.raises(CannotRunError, match="invalid reference format"):
        prepared(bench.runtime, desired("web", {"image": "Not:A:Name"}))


def test_an_image_gone_between_prepare_and_create_is_an_image_failure(bench: Bench, raw: DockerClient) -> None:
    raw.api.tag("busybox:latest", "short-lived", "1")
    prepared(bench.runtime, desired("web", {"image": "short-lived:1"}))
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


def test_those_who_want_one_image_are_told_of_one_pull_and_wait_in_no_thread(
    bench: Bench, slow_registry: type[SlowRegistry]
) -> None:
    image = f"{slow_registry.address}/image:1"  # type: ignore[attr-defined]  # set by the fixture
    woken: set[Key | None] = set()
    bench.runtime.watch(woken.add)
    wanted = [desired(f"web{number}", {"image": image}) for number in range(4)]
    for each in wanted:
        with pytest.raises(PreparingError, match=f"pull of {image}"):
            bench.runtime.prepare(each)
    until(lambda: slow_registry.visits > 0)
    images = bench.runtime._images
    assert (len(images._streams), len(images.pulls._threads)) == (1, 1)
    assert slow_registry.visits <= 2
    slow_registry.gate.set()
    until(lambda: woken >= {each.key for each in wanted})
    for each in wanted:
        with pytest.raises(ImageUnavailableError, match="cannot be pulled"):
            bench.runtime.prepare(each)
    until(lambda: (images._streams, images.pulls._jobs, images.pulls._threads) == (set(), {}, set()))


def test_a_pull_holds_up_nobody_else(bench: Bench, slow_registry: type[SlowRegistry]) -> None:
    image = f"{slow_registry.address}/image:1"  # type: ignore[attr-defined]  # set by the fixture
    with pytest.raises(PreparingError):
        bench.runtime.prepare(desired("slow", {"image": image}))
    until(lambda: slow_registry.visits > 0)
    bench.run()


def test_an_image_that_arrives_another_way_is_not_waited_for(
    bench: Bench, slow_registry: type[SlowRegistry], raw: DockerClient
) -> None:
    image = f"{slow_registry.address}/loaded:1"  # type: ignore[attr-defined]  # set by the fixture
    with pytest.raises(PreparingError):
        bench.runtime.prepare(desired("web", {"image": image}))
    raw.api.tag("busybox:latest", image.removesuffix(":1"), "1")
    bench.runtime.prepare(desired("web", {"image": image}))
    raw.api.remove_image(image)


def test_closing_ends_a_pull_that_waits(bench: Bench, slow_registry: type[SlowRegistry]) -> None:
    image = f"{slow_registry.address}/image:1"  # type: ignore[attr-defined]  # set by the fixture
    with pytest.raises(PreparingError):
        bench.runtime.prepare(desired("web", {"image": image}))
    until(lambda: slow_registry.visits > 0)
    pulls = bench.runtime._images.pulls
    bench.runtime.close()
    pulls.join(2)
    assert pulls._threads == set()
    bench.runtime = bench.another()
