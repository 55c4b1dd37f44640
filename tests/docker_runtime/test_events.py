"""What happens to a container wakes its key."""

from __future__ import annotations

import queue
from collections.abc import Callable

import pytest
from docker import DockerClient

from controller.model.identity import Key, sandbox_key
from controller.model.observed import Observed
from tests.docker_runtime.bench import Bench, until

pytestmark = pytest.mark.docker
WEB = sandbox_key("default", "web")


class Wakes:
    """Collects the keys that were woken."""

    def __init__(self, bench: Bench) -> None:
        self._queue: queue.Queue[Key | None] = queue.Queue()
        bench.runtime.watch(self._queue.put)

    def expect(self, wanted: Key | None) -> None:
        """Wait for a wake of exactly this key."""
        while self._queue.get(timeout=5) != wanted:
            pass

    def drain(self) -> None:
        """Forget those that came, and those that are about to."""
        try:
            while True:
                self._queue.get(timeout=0.3)
        except queue.Empty:
            return


def test_the_first_connection_wakes_everything(bench: Bench) -> None:
    Wakes(bench).expect(None)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw, id: raw.api.kill(id),
        lambda raw, id: raw.api.pause(id),
        lambda raw, id: raw.api.update_container(id, cpu_quota=20000),
        lambda raw, id: raw.api.rename(id, f"renamed-{id[:8]}"),
        lambda raw, id: raw.api.remove_container(id, force=True),
    ],
    ids=["die", "pause", "update", "rename", "destroy"],
)
def test_a_change_from_outside_wakes_the_key(
    bench: Bench, raw: DockerClient, change: Callable[[DockerClient, str], None]
) -> None:
    seen = bench.run()
    wakes = Wakes(bench)
    wakes.expect(None)
    wakes.drain()
    change(raw, seen.id)
    wakes.expect(WEB)


def test_an_end_by_itself_wakes_the_key(bench: Bench) -> None:
    wakes = Wakes(bench)
    wakes.expect(None)
    bench.run(spec={"command": ["true"]})
    wakes.expect(WEB)
    until(lambda: bench.runtime.inspect(WEB)[0].exit)


def test_others_containers_wake_nobody(bench: Bench, raw: DockerClient) -> None:
    wakes = Wakes(bench)
    wakes.expect(None)
    wakes.drain()
    raw.containers.run("busybox:latest", ["true"], network_mode="none", remove=True)
    bench.run("later", {"command": ["true"]})
    wakes.expect(sandbox_key("default", "later"))
    assert wakes._queue.qsize() < 3


def test_one_renamed_beside_its_replacement_is_seen_after_the_event(bench: Bench, raw: DockerClient) -> None:
    wakes = Wakes(bench)
    wakes.expect(None)
    first, second = bench.run(), bench.create(slot="b")
    wakes.drain()
    raw.api.rename(first.id, f"renamed-{first.id[:8]}")
    wakes.expect(WEB)
    assert ids(bench.runtime.inspect(WEB)) == [first.id, second.id]


def test_closing_ends_the_threads_at_once(bench: Bench) -> None:
    wakes = Wakes(bench)
    wakes.expect(None)
    started = bench.clock.monotonic()
    bench.runtime.close()
    assert bench.clock.monotonic() - started < 1
    bench.runtime = bench.another()


def ids(found: tuple[Observed, ...]) -> list[str]:
    return [seen.id for seen in found]
