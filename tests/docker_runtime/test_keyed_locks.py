"""A lock for each name: it excludes while it is wanted, and is not kept."""

from __future__ import annotations

import threading

from controller.runtime.keyed_locks import KeyedLocks


def test_who_waits_for_a_name_gets_it_after_its_holder_and_nothing_is_kept() -> None:
    locks, entered, order = KeyedLocks(), threading.Event(), []

    def wait() -> None:
        entered.set()
        with locks.held("web"):
            order.append("second")

    waiter = threading.Thread(target=wait)
    with locks.held("web"):
        waiter.start()
        entered.wait(5)
        with locks.held("other"):
            order.append("first")
    waiter.join(5)
    assert order == ["first", "second"]
    assert locks._locks == {}


def test_a_name_is_free_again_after_a_failure() -> None:
    locks = KeyedLocks()
    for _ in range(2):
        try:
            with locks.held("web"):
                raise KeyError
        except KeyError:
            continue
    assert locks._locks == {}
