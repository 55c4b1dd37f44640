"""What an end-to-end test would leave running is noticed, and ended."""

from __future__ import annotations

from tests.directory_runtime.house import House
from tests.e2e.daemon import end_supervisor


def test_what_a_supervisor_still_has_is_told_and_ended(house: House) -> None:
    id = house.make("sleep", "1000")
    (left,) = end_supervisor(house.state_dir)
    assert "sleep" in left
    assert not house.see(id).pid
    assert end_supervisor(house.state_dir) == []
