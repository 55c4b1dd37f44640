"""The machine's clock."""

from __future__ import annotations

import threading

import pytest

from controller.model.clock import SystemClock


@pytest.mark.parametrize("timeout", [1e15, float("inf"), None])
def test_a_wait_of_any_length_ends_with_its_event(timeout: float | None) -> None:
    event = threading.Event()
    timer = threading.Timer(0.01, event.set)
    timer.start()
    assert SystemClock().wait(event, timeout)
    timer.join()
