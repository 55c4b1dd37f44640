"""Who does not want to wait for a lock is told."""

from __future__ import annotations

from controller.runtime.keyed_locks import KeyedLocks


def test_who_will_not_wait_is_told_and_holds_nothing() -> None:
    locks = KeyedLocks()
    with locks.held("a") as first, locks.held("a", patience=0.01) as second, locks.held("b") as other:
        assert (first, second, other) == (True, False, True)
    with locks.held("a", patience=0.01) as again:
        assert again
    assert locks._locks == {}
