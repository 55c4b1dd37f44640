"""When marks of the watcher are taken, by a clock set by hand."""

from __future__ import annotations

import pytest

from controller.source.inbox import Batch, Inbox
from tests.source.helpers import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def inbox(clock: HandClock) -> Inbox:
    return Inbox(clock)


def test_a_lone_saved_file_is_taken_at_once(inbox: Inbox, clock: HandClock) -> None:
    inbox.complete("a")
    assert inbox.wake.is_set()
    assert inbox.collect(clock.time) == Batch(frozenset({"a"}))
    assert inbox.due() is None


def test_a_burst_is_taken_when_it_is_quiet(inbox: Inbox, clock: HandClock) -> None:
    inbox.complete("a")
    inbox.collect(clock.time)
    for file in ("b", "c", "d"):
        clock.time += 0.1
        inbox.complete(file)
        assert inbox.collect(clock.time) is None
    assert inbox.due() == pytest.approx(clock.time + 0.2)
    clock.time += 0.2
    assert inbox.collect(clock.time) == Batch(frozenset({"b", "c", "d"}))


def test_a_burst_without_end_is_taken_after_two_seconds(inbox: Inbox, clock: HandClock) -> None:
    inbox.complete("a")
    inbox.collect(clock.time)
    began = clock.time
    while inbox.collect(clock.time) is None:
        clock.time += 0.05
        inbox.complete("b")
    assert 2.0 <= clock.time - began <= 2.1


def test_a_removal_does_not_hold_up_the_save_that_follows(inbox: Inbox, clock: HandClock) -> None:
    inbox.changed()
    assert inbox.collect(clock.time) == Batch()
    clock.time += 0.001
    inbox.complete("a")
    assert inbox.collect(clock.time) == Batch(frozenset({"a"}))


def test_a_created_file_that_nobody_opens_is_complete(inbox: Inbox, clock: HandClock) -> None:
    inbox.created("a")
    assert inbox.collect(clock.time) is None
    assert inbox.due() == pytest.approx(clock.time + 0.02)
    clock.time += 0.02
    assert inbox.collect(clock.time) == Batch(frozenset({"a"}))


def test_a_created_file_that_is_opened_waits_for_its_close(inbox: Inbox, clock: HandClock) -> None:
    inbox.created("a")
    inbox.being_written("a")
    assert inbox.due() is None
    clock.time += 5
    assert inbox.collect(clock.time) is None
    inbox.complete("a")
    assert inbox.collect(clock.time) == Batch(frozenset({"a"}))


def test_swapped_links_and_a_removed_root_are_told_once(inbox: Inbox, clock: HandClock) -> None:
    inbox.links_swapped()
    inbox.root_gone()
    assert inbox.collect(clock.time) == Batch(links=True, root_gone=True)
    clock.time += 1
    inbox.changed()
    assert inbox.collect(clock.time) == Batch()
