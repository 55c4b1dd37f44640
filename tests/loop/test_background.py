"""Slow work beside the workers: shared by those who want the same, told once to each."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

import pytest

from controller.model.errors import ConflictError, ImageUnavailableError, PreparingError, RuntimeFailure
from controller.model.identity import Key, sandbox_key
from controller.runtime.background import Background
from tests.support.clock import FakeClock

WEB, APP = sandbox_key("default", "web"), sandbox_key("default", "app")


class Work:
    """Each piece waits for its gate, which `finish` opens; `begun` tells of each as it begins."""

    def __init__(self, limit: int = 4) -> None:
        self.clock = FakeClock()
        self.background = Background("test", limit, self.clock)
        self.begun: queue.Queue[str] = queue.Queue()
        self.woken: queue.Queue[Key] = queue.Queue()
        self.unwanted: list[str] = []
        self._gates: dict[str, threading.Event] = {}
        self._failures: dict[str, Exception] = {}
        self.background.listen(self.woken.put)
        self.background.on_unwanted = self.unwanted.append

    def ask(self, key: Key, what: str) -> None:
        gate = self._gates.setdefault(what, threading.Event())

        def work() -> None:
            self.begun.put(what)
            assert gate.wait(10)
            if what in self._failures:
                raise self._failures[what]

        self.background.demand(key, what, work)

    def begin(self, key: Key, what: str) -> None:
        with pytest.raises(PreparingError, match=f"{what} is under way"):
            self.ask(key, what)

    def finish(self, what: str, failure: Exception | None = None) -> None:
        if failure is not None:
            self._failures[what] = failure
        self._gates[what].set()

    def end(self) -> None:
        for gate in self._gates.values():
            gate.set()
        self.background.close()
        self.background.join(10)


@pytest.fixture
def make() -> Iterator[Callable[[int], Work]]:
    made: list[Work] = []

    def making(limit: int) -> Work:
        made.append(Work(limit))
        return made[-1]

    yield making
    for each in made:
        each.end()


@pytest.fixture
def work(make: Callable[[int], Work]) -> Work:
    return make(4)


def test_those_who_want_the_same_share_it_and_each_is_told(work: Work) -> None:
    work.begin(WEB, "a")
    work.begin(APP, "a")
    work.begin(WEB, "a")
    work.finish("a")
    assert {work.woken.get(timeout=5), work.woken.get(timeout=5)} == {WEB, APP}
    work.ask(WEB, "a")
    work.ask(APP, "a")
    assert work.begun.qsize() == 1
    work.begin(WEB, "a")


@pytest.mark.parametrize(
    ("failure", "told"), [(ImageUnavailableError("no such"), ImageUnavailableError), (KeyError("x"), RuntimeFailure)]
)
def test_a_failure_is_told_once_and_then_it_is_tried_again(
    work: Work, failure: Exception, told: type[Exception]
) -> None:
    work.begin(WEB, "a")
    work.finish("a", failure)
    work.woken.get(timeout=5)
    with pytest.raises(told):
        work.ask(WEB, "a")
    work.begin(WEB, "a")


def test_no_more_than_so_much_is_under_way_and_the_rest_follows(make: Callable[[int], Work]) -> None:
    work = make(1)
    work.begin(WEB, "a")
    work.begin(APP, "b")
    assert work.begun.get(timeout=5) == "a"
    assert work.begun.empty()
    work.finish("a")
    assert work.begun.get(timeout=5) == "b"


def test_what_nobody_wants_any_more_is_not_begun_or_told_of(make: Callable[[int], Work]) -> None:
    work = make(1)
    work.begin(WEB, "a")
    work.begin(APP, "b")
    work.begin(APP, "c")
    assert work.begun.get(timeout=5) == "a"
    work.begin(WEB, "c")
    assert work.unwanted == ["a"]
    work.finish("a")
    assert work.begun.get(timeout=5) == "c"
    assert work.woken.empty()
    work.background.retain(lambda key: key == APP)
    assert work.unwanted == ["a"]
    work.background.retain(lambda _: False)
    assert work.unwanted == ["a", "c"]


def test_an_end_that_nobody_asked_for_in_time_is_none(work: Work) -> None:
    work.begin(WEB, "a")
    work.finish("a")
    work.woken.get(timeout=5)
    work.clock.advance(3600)
    work.begin(WEB, "a")


def test_who_listens_late_is_told_of_what_has_ended(work: Work) -> None:
    work.begin(WEB, "a")
    work.finish("a")
    work.woken.get(timeout=5)
    late: queue.Queue[Key] = queue.Queue()
    work.background.listen(late.put)
    assert late.get(timeout=5) == WEB


def test_once_closed_nothing_is_begun(work: Work) -> None:
    work.background.close()
    with pytest.raises(ConflictError, match="ending"):
        work.ask(WEB, "a")


def test_who_leaves_is_told_no_end_and_lets_go_what_nobody_else_wants(work: Work) -> None:
    work.begin(WEB, "a")
    work.begin(APP, "a")
    assert work.begun.get(timeout=10) == "a"
    work.background.leave(WEB)
    assert work.unwanted == []
    work.background.leave(APP)
    work.background.leave(APP)
    assert work.unwanted == ["a"]
    work.finish("a")
    work.begin(WEB, "b")
    work.finish("b")
    assert work.woken.get(timeout=10) == WEB
    assert work.woken.empty()
