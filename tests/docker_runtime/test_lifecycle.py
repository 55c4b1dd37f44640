"""Starting, stopping, freezing, killing and removing: each does what it says, twice as well as once."""

from __future__ import annotations

import pytest
from docker import DockerClient
from docker.errors import NotFound

from controller.model.errors import ConflictError, InstanceNotFoundError
from controller.model.identity import sandbox_key
from controller.model.observed import InstanceState
from tests.docker_runtime.bench import Bench

pytestmark = pytest.mark.docker
DEAF = {"command": ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]}


def test_a_created_one_is_not_started(bench: Bench) -> None:
    seen = bench.create()
    assert (seen.state, seen.pid, seen.started_at, seen.exit) == (InstanceState.CREATED, None, None, None)


def test_starting_twice_leaves_the_same_process(bench: Bench) -> None:
    seen = bench.run()
    bench.runtime.start(seen.id)
    assert bench.look("web", seen.id).pid == seen.pid


def test_it_can_be_started_again(bench: Bench) -> None:
    seen = bench.run()
    bench.runtime.stop(seen.id, 1)
    bench.runtime.start(seen.id)
    again = bench.look("web", seen.id)
    assert (again.id, again.state, again.exit) == (seen.id, InstanceState.RUNNING, None)
    assert again.pid != seen.pid


def test_stopping_twice_succeeds(bench: Bench) -> None:
    seen = bench.run()
    bench.runtime.stop(seen.id, 1)
    bench.runtime.stop(seen.id, 1)
    ended = bench.ended(seen)
    assert (ended.code, ended.signal, ended.oom_killed, ended.engine_restarted) == (143, 15, False, False)


def test_what_ignores_sigterm_is_killed_after_the_grace(bench: Bench) -> None:
    seen = bench.run(spec=DEAF)
    started = bench.clock.monotonic()
    bench.runtime.stop(seen.id, 1)
    assert 0.9 < bench.clock.monotonic() - started < 4
    ended = bench.ended(seen)
    assert (ended.code, ended.signal) == (137, 9)


def test_a_grace_of_centuries_stops_it_nevertheless(bench: Bench) -> None:
    seen = bench.run()
    bench.runtime.stop(seen.id, 99_999_999 * 3600.0)
    assert bench.ended(seen).code == 143


def test_no_grace_kills_at_once(bench: Bench) -> None:
    seen = bench.run(spec=DEAF)
    started = bench.clock.monotonic()
    bench.runtime.stop(seen.id, 0)
    assert bench.clock.monotonic() - started < 0.9


def test_killing_twice_succeeds(bench: Bench) -> None:
    seen = bench.run(spec=DEAF)
    bench.runtime.kill(seen.id)
    bench.runtime.kill(seen.id)
    ended = bench.ended(seen)
    assert (ended.code, ended.signal) == (137, 9)


def test_freezing_stops_time_and_thawing_lets_it_go_on(bench: Bench) -> None:
    seen = bench.run()
    bench.runtime.pause(seen.id)
    bench.runtime.pause(seen.id)
    frozen = bench.look("web", seen.id)
    assert (frozen.state, frozen.pid) == (InstanceState.PAUSED, seen.pid)
    with pytest.raises(ConflictError, match="thawed"):
        bench.runtime.start(seen.id)
    bench.runtime.unpause(seen.id)
    bench.runtime.unpause(seen.id)
    assert bench.look("web", seen.id).state is InstanceState.RUNNING


@pytest.mark.parametrize("how", ["stop", "kill", "remove"])
def test_a_frozen_one_can_be_ended(bench: Bench, how: str) -> None:
    seen = bench.run()
    bench.runtime.pause(seen.id)
    started = bench.clock.monotonic()
    {
        "stop": lambda: bench.runtime.stop(seen.id, 5),
        "kill": lambda: bench.runtime.kill(seen.id),
        "remove": lambda: bench.runtime.remove(seen.id),
    }[how]()
    assert bench.clock.monotonic() - started < 2
    left = bench.runtime.inspect(sandbox_key("default", "web"))
    assert [found.state for found in left] == ([] if how == "remove" else [InstanceState.EXITED])


def test_one_that_stands_can_be_neither_frozen_nor_thawed(bench: Bench) -> None:
    seen = bench.create()
    with pytest.raises(ConflictError):
        bench.runtime.pause(seen.id)
    with pytest.raises(ConflictError):
        bench.runtime.unpause(seen.id)


def test_removing_a_running_one_twice_succeeds(bench: Bench, raw: DockerClient) -> None:
    seen = bench.run()
    bench.runtime.remove(seen.id)
    bench.runtime.remove(seen.id)
    with pytest.raises(NotFound):
        raw.api.inspect_container(seen.id)


def test_removing_takes_anonymous_volumes_along(bench: Bench, raw: DockerClient) -> None:
    base = raw.api.create_container("busybox:latest", ["true"])
    image = raw.api.commit(base["Id"], "with-volume", "1", changes="VOLUME /data")["Id"]
    raw.api.remove_container(base["Id"])
    seen = bench.run(spec={"image": "with-volume:1"})
    mounts = raw.api.inspect_container(seen.id)["Mounts"]
    volume = next(mount["Name"] for mount in mounts if mount["Type"] == "volume")
    bench.runtime.remove(seen.id)
    with pytest.raises(NotFound):
        raw.api.inspect_volume(volume)
    raw.api.remove_image(image, force=True)


def test_what_is_gone_is_said_to_be_gone(bench: Bench) -> None:
    seen = bench.run()
    bench.runtime.remove(seen.id)
    for change in (bench.runtime.start, bench.runtime.kill, bench.runtime.pause, bench.runtime.unpause):
        with pytest.raises(InstanceNotFoundError):
            change(seen.id)
