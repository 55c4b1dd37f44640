"""Which ends are the kernel's doing for want of memory: the mark of a child killed once stays with a container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from docker import DockerClient

from controller.model.observed import Exit
from controller.runtime.docker.config import Timeouts
from controller.runtime.docker.oom import OomKills
from tests.docker_runtime.bench import Bench, until
from tests.docker_runtime.conftest import MakeBench
from tests.support import images
from tests.support.clock import FakeClock
from tests.support.engine import PrivateEngine

ROOMLESS: Mapping[str, Any] = {"filesystem": {"tmpfs": {}}}
DEAF = {"command": ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]}
EAT = "tail -c 200m /dev/zero"


def ended(clock: FakeClock, code: int = 137, *, mark: bool = False) -> Exit:
    return Exit(code, code - 128, oom_killed=mark, finished_at=clock.now())


@pytest.mark.parametrize(("ago", "explained"), [(0.0, True), (1.5, True), (3.0, False), (345_600.0, False)])
def test_a_kill_explains_the_end_that_comes_with_it(ago: float, explained: bool) -> None:
    clock = FakeClock()
    kills, started_at = OomKills(clock), clock.now()
    clock.advance(10)
    kills.note("web")
    clock.advance(ago)
    assert kills.explain("web", ended(clock, mark=True), started_at) is explained


def test_a_kill_of_the_run_before_explains_nothing() -> None:
    clock = FakeClock()
    kills = OomKills(clock)
    kills.note("web")
    clock.advance(0.5)
    assert not kills.explain("web", ended(clock, mark=True), clock.now() - 0.2)


@pytest.mark.parametrize("mark", [True, False])
def test_where_no_kill_was_noticed_the_engines_mark_tells(mark: bool) -> None:
    clock = FakeClock()
    kills = OomKills(clock)
    kills.note("web")
    kills.forget("web")
    assert kills.explain("web", ended(clock, mark=mark), None) is mark


@pytest.mark.docker
def test_a_container_killed_long_after_a_child_was_is_no_oom_kill(bench: Bench, raw: DockerClient) -> None:
    seen = bench.run(spec=ROOMLESS)
    kills, at = bench.runtime._ooms, bench.clock.now()
    bench.runtime.usage([seen])
    bench.sh(seen.id, EAT)
    bench.runtime.usage([seen])
    assert kills._at[seen.id] >= at
    kills._at[seen.id] -= 3600
    raw.api.kill(seen.id)
    assert not bench.ended(seen).oom_killed


@pytest.mark.docker
def test_the_engine_tells_of_a_kill_that_no_tick_was_in_time_to_count(bench: Bench) -> None:
    bench.runtime.watch(lambda _: None)
    seen = bench.run(spec=ROOMLESS)
    bench.sh(seen.id, EAT)
    until(lambda: bench.runtime._ooms._at.get(seen.id))
    bench.runtime.remove(seen.id)
    until(lambda: seen.id not in bench.runtime._ooms._at)


@pytest.mark.docker
def test_an_engines_restart_explains_the_end_of_one_whose_child_was_killed(
    make_bench: MakeBench, disposable_engine: PrivateEngine
) -> None:
    disposable_engine.load_images(images.BUSYBOX)
    bench = make_bench(disposable_engine.docker_host)
    bench.runtime.close()
    bench.runtime = bench.another(timeouts=Timeouts(connect=0.5, read=1.0, slow=20.0, ping=0.5), ping_interval=0.5)
    bench.runtime.watch(lambda _: None)
    seen = bench.run(spec={**ROOMLESS, **DEAF})
    bench.runtime.usage([seen])
    bench.sh(seen.id, EAT)
    bench.runtime.usage([seen])
    disposable_engine.kill()
    disposable_engine.start()
    until(lambda: bench.runtime.capabilities().available)
    end = bench.ended(seen)
    assert (end.code, end.engine_restarted, end.oom_killed) == (137, True, False)
