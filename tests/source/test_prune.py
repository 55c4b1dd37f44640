"""Confirmed absence, stillness and the prune guard, by hand-set times."""

from __future__ import annotations

import hashlib

import pytest

from controller.model.errors import UsageError
from controller.model.identity import Key
from controller.source.memory import HeldBack
from controller.source.prune import Absence, PruneGuard, Stillness, block_of, check_confirmation, hash_of
from tests.source.helpers import key


def keys(count: int, first: int = 0) -> frozenset[Key]:
    return frozenset(key(f"s{number}") for number in range(first, first + count))


def test_a_file_is_gone_when_two_looks_a_tenth_of_a_second_apart_miss_it() -> None:
    absence = Absence()
    assert absence.observe(["a"], 1.0) == frozenset()
    assert absence.due() == pytest.approx(1.1)
    assert absence.observe(["a"], 1.05) == frozenset()
    assert absence.observe(["a"], 1.1) == {"a"}
    assert (absence.due(), absence.pending) == (None, frozenset())


def test_a_file_that_comes_back_was_never_gone() -> None:
    absence = Absence()
    absence.observe(["a"], 1.0)
    absence.observe([], 1.05)
    assert absence.observe(["a"], 1.2) == frozenset()


def test_a_file_is_not_gone_while_another_is_unread_but_for_two_seconds_at_most() -> None:
    absence = Absence()
    assert absence.observe(["web.yaml"], 0.0) == set()
    assert absence.observe(["web.yaml"], 0.2, in_doubt=True) == set()
    assert absence.due() == 2.0
    assert absence.observe(["web.yaml"], 0.5) == {"web.yaml"}
    assert absence.observe(["web.yaml"], 1.0, in_doubt=True) == set()
    assert absence.observe(["web.yaml"], 3.0, in_doubt=True) == {"web.yaml"}


def test_a_wave_of_removals_is_confirmed_together() -> None:
    absence = Absence()
    absence.observe(["a"], 1.0)
    assert absence.observe(["a", "b"], 1.1) == frozenset()
    assert absence.observe(["a", "b", "c"], 1.2) == frozenset()
    assert absence.observe(["a", "b", "c"], 1.3) == {"a", "b", "c"}


def test_a_wave_without_end_is_judged_after_two_seconds() -> None:
    absence = Absence()
    gone: frozenset[str] = frozenset()
    missing: list[str] = []
    for step in range(41):
        missing.append(f"f{step}")
        gone = absence.observe(missing, 1.0 + step * 0.05)
    assert gone == {f"f{step}" for step in range(len(gone))}
    assert len(gone) >= 38


def test_a_changed_file_stands_still_after_a_second_without_another_change() -> None:
    stillness = Stillness()
    assert not stillness.stands_still("a", "one", 1.0)
    assert not stillness.stands_still("a", "two", 1.9)
    assert stillness.due() == pytest.approx(2.9)
    assert not stillness.stands_still("a", "two", 2.8)
    assert stillness.stands_still("a", "two", 2.9)
    assert stillness.due() is None


@pytest.mark.parametrize(
    ("lost", "declared", "held"), [(3, 3, 0), (1, 1, 0), (4, 8, 0), (4, 7, 4), (5, 200, 0), (101, 200, 101)]
)
def test_more_than_three_and_more_than_half_are_held_back(lost: int, declared: int, held: int) -> None:
    guard = PruneGuard(HeldBack())
    going = guard.judge(keys(lost), declared)
    block = guard.block()
    assert len(going) == lost - held
    assert (len(block.keys) if block is not None else 0) == held


def test_a_replaced_root_holds_back_even_one() -> None:
    guard = PruneGuard(HeldBack())
    assert guard.judge(keys(2), 100, doubted=keys(1)) == keys(1, first=1)
    block = guard.block()
    assert block is not None
    assert block.reason == "the watched folder was replaced, and 1 are no longer declared"


def test_the_hash_is_eight_hex_digits_over_the_sorted_keys() -> None:
    wanted = hashlib.sha256(b"sandbox default/s0\nsandbox default/s1").hexdigest()[:8]
    assert hash_of([key("s1"), key("s0")]) == wanted
    assert block_of(keys(2), "because").hash == wanted


def test_a_block_shrinks_as_documents_come_back_and_lifts_by_itself() -> None:
    guard = PruneGuard(HeldBack())
    guard.judge(keys(5), 5)
    guard.judge(keys(2), 5)
    block = guard.block()
    assert block is not None
    assert block.keys == keys(2)
    guard.judge(frozenset(), 5)
    assert guard.block() is None


def test_an_ordinary_removal_goes_on_beside_a_block() -> None:
    guard = PruneGuard(HeldBack())
    guard.judge(keys(60), 100)
    assert guard.judge(keys(62), 100) == keys(2, first=60)
    block = guard.block()
    assert block is not None
    assert block.keys == keys(60)


def test_a_confirmation_has_to_fit_what_is_blocked() -> None:
    block = block_of(keys(5), "because")
    assert check_confirmation(block, block.hash) == keys(5)
    assert check_confirmation(block, None) == keys(5)
    with pytest.raises(UsageError, match=f"the blocked set is {block.hash} by now"):
        check_confirmation(block, "00000000")
    with pytest.raises(UsageError, match="nothing to confirm"):
        check_confirmation(None, None)
