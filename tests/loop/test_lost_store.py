"""The state store is lost: what runs says who it is, and nothing is done to it on a guess."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from controller.loop.resync import Resync
from controller.model.conditions import ConditionType
from controller.model.errors import EngineTimeoutError, UsageError
from controller.model.manifest import Snapshot
from tests.loop.harness import Harness, document


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def lose_the_store(harness: Harness) -> None:
    harness.store.close()
    for file in harness.state_dir.glob("state.db*"):
        file.unlink()


def test_a_lost_store_is_rebuilt_from_what_the_instances_say(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    calls, uid = list(harness.docker.calls), harness.entry("web").record.uid
    lose_the_store(harness)
    harness.restart()
    harness.settle()
    assert harness.docker.calls == calls
    assert harness.entry("web").record.uid == uid


def go_away(harness: Harness) -> Callable[[], None]:
    """The engine is away as the daemon starts, until what is returned is called."""
    harness.docker.available = False

    def come_back() -> None:
        harness.docker.available = True

    return come_back


def hang_once(harness: Harness) -> Callable[[], None]:
    """The engine does not answer the first question."""
    harness.docker.fail("inspect", EngineTimeoutError("no answer within 10 s"))
    return lambda: None


@pytest.mark.parametrize("trouble", [go_away, hang_once])
@pytest.mark.parametrize("restarts", [1, 2])
def test_an_engine_that_answers_late_has_the_last_word_on_who_its_containers_are(
    harness: Harness, trouble: Callable[[Harness], Callable[[], None]], restarts: int
) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    calls, seen = list(harness.docker.calls), harness.docker.only()
    lose_the_store(harness)
    end = trouble(harness)
    for _ in range(restarts):
        harness.restart()
        harness.settle()
    end()
    harness.wake("web")
    harness.advance(5)
    assert harness.docker.calls == calls
    assert harness.docker.only() == seen
    assert harness.entry("web").record.uid == seen.owner.uid
    assert harness.entry("web").record.generation == 1
    assert harness.condition("web", ConditionType.READY) == ("True", "Running")


def test_a_sandbox_that_fell_back_without_its_store_returns_to_its_own_workspace(harness: Harness) -> None:
    web = document("web", fallback="directory")
    harness.declare(web)
    harness.advance(2)
    seen = harness.docker.only()
    lose_the_store(harness)
    harness.docker.available = False
    harness.restart()
    harness.advance(2)
    assert harness.condition("web", ConditionType.DEGRADED) == ("True", "Fallback")
    harness.docker.available = True
    harness.wake("web")
    harness.advance(5)
    assert harness.docker.only() == seen
    assert harness.directory.instances == {}
    assert harness.entry("web").record.uid == seen.owner.uid


@pytest.mark.parametrize("first_answer", [True, False])
def test_what_no_manifest_declares_any_more_is_left_alone_until_one_does(harness: Harness, first_answer: bool) -> None:
    documents = [document(name) for name in "abcde"]
    harness.declare(*documents)
    harness.advance(2)
    calls, seen = list(harness.docker.calls), dict(harness.docker.instances)
    lose_the_store(harness)
    harness.source.present = Snapshot(synced=True)
    harness.docker.available = first_answer
    for _ in range(2):
        harness.restart()
        harness.advance(30)
    harness.docker.available = True
    resync_docker(harness)
    harness.advance(30)
    assert harness.docker.calls == calls
    assert harness.condition("a", ConditionType.READY) == ("False", "ManifestUnknown")
    harness.declare(*documents)
    harness.advance(2)
    assert harness.docker.calls == calls
    assert harness.docker.instances == seen
    assert {harness.entry(name).record.generation for name in "abcde"} == {1}
    assert harness.condition("a", ConditionType.READY) == ("True", "Running")


def test_what_no_manifest_declares_any_more_goes_when_somebody_says_so(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    uid = harness.docker.only().owner.uid
    harness.workspaces.ensure(uid, 0, 0)
    lose_the_store(harness)
    harness.source.present = Snapshot(synced=True)
    harness.restart()
    harness.settle()
    harness.loop.control.delete(harness.key("web"), hold=False)
    harness.settle()
    assert harness.docker.instances == {}
    assert [trashed.uid for trashed in harness.workspaces.trashed()] == [uid]
    assert harness.world.entry(harness.key("web")) is None


def resync_docker(harness: Harness) -> None:
    """The engine is listed again, as now and then."""
    Resync(harness.docker, harness.world, harness.loop.queue.add).run()


def test_one_whose_engine_never_had_it_keeps_the_uid_that_it_was_given_meanwhile(harness: Harness) -> None:
    harness.docker.available = False
    harness.declare(document("web"))
    uid = harness.entry("web").record.uid
    harness.docker.available = True
    harness.wake("web")
    harness.advance(2)
    assert harness.docker.only().owner.uid == uid
    assert not harness.entry("web").record.provisional


def test_nothing_is_asked_of_what_no_manifest_tells_of_that_would_be_done_when_one_does(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    lose_the_store(harness)
    harness.source.present = Snapshot(synced=True)
    harness.restart()
    harness.advance(2)
    assert harness.condition("web", ConditionType.READY) == ("False", "ManifestUnknown")
    control, key = harness.loop.control, harness.key("web")
    for ask in (control.restart, control.suspend):
        with pytest.raises(UsageError, match="default/web can be made out now"):
            ask(key, "by hand")
    with pytest.raises(UsageError, match="default/web can be made out now"):
        control.delete(key, hold=True)
    calls = list(harness.docker.calls)
    harness.declare(document("web"))
    harness.advance(2)
    assert harness.docker.calls == calls
    assert harness.condition("web", ConditionType.READY) == ("True", "Running")
