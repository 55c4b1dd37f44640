"""When marks of the watcher are taken, by a clock set by hand."""

from __future__ import annotations

import pytest

from controller.source.inbox import Batch, Inbox
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def inbox(clock: FakeClock) -> Inbox:
    return Inbox(clock)


def test_a_lone_saved_file_is_taken_at_once(inbox: Inbox, clock: FakeClock) -> None:
    inbox.complete("a")
    assert inbox.wake.is_set()
    assert inbox.collect(clock.monotonic()) == Batch(frozenset({"a"}))
    assert inbox.due() is None


def test_a_burst_is_taken_when_it_is_quiet(inbox: Inbox, clock: FakeClock) -> None:
    inbox.complete("a")
    inbox.collect(clock.monotonic())
    for file in ("b", "c", "d"):
        clock.advance(0.1)
        inbox.complete(file)
        assert inbox.collect(clock.monotonic()) is None
    assert inbox.due() == pytest.approx(clock.monotonic() + 0.2)
    clock.advance(0.2)
    assert inbox.collect(clock.monotonic()) == Batch(frozenset({"b", "c", "d"}))


def test_a_burst_without_end_is_taken_after_two_seconds(inbox: Inbox, clock: FakeClock) -> None:
    inbox.complete("a")
    inbox.collect(clock.monotonic())
    began = clock.monotonic()
    while inbox.collect(clock.monotonic()) is None:
        clock.advance(0.05)
        inbox.complete("b")
    assert 2.0 <= clock.monotonic() - began <= 2.1


def test_a_removal_does_not_hold_up_the_save_that_follows(inbox: Inbox, clock: FakeClock) -> None:
    inbox.changed()
    assert inbox.collect(clock.monotonic()) == Batch()
    clock.advance(0.001)
    inbox.complete("a")
    assert inbox.collect(clock.monotonic()) == Batch(frozenset({"a"}))


def test_a_created_file_that_nobody_opens_is_complete(inbox: Inbox, clock: FakeClock) -> None:
    inbox.created("a")
    assert inbox.collect(clock.monotonic()) is None
    assert inbox.due() == pytest.approx(clock.monotonic() + 0.02)
    clock.advance(0.02)
    assert inbox.collect(clock.monotonic()) == Batch(frozenset({"a"}))


def test_a_created_file_that_is_opened_waits_for_its_close(inbox: Inbox, clock: FakeClock) -> None:
    inbox.created("a")
    inbox.opened("a")
    assert inbox.due() is None
    clock.advance(5)
    assert inbox.collect(clock.monotonic()) is None
    inbox.complete("a")
    assert inbox.collect(clock.monotonic()) == Batch(frozenset({"a"}))


def test_swapped_links_and_a_removed_root_are_told_once(inbox: Inbox, clock: FakeClock) -> None:
    inbox.links_swapped()
    inbox.root_gone()
    assert inbox.collect(clock.monotonic()) == Batch(links=True, root_gone=True)
    clock.advance(1)
    inbox.changed()
    assert inbox.collect(clock.monotonic()) == Batch()


def test_a_file_written_to_again_before_it_was_taken_is_not_complete(inbox: Inbox, clock: FakeClock) -> None:
    inbox.complete("a")
    inbox.collect(clock.monotonic())
    clock.advance(0.01)
    inbox.complete("a")
    inbox.complete("b")
    inbox.written("a")
    clock.advance(0.2)
    assert inbox.collect(clock.monotonic()) == Batch(frozenset({"b"}))
