"""A house for each test, with control groups where the machine lets us have them; and one without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller.runtime.cgroup.root import CgroupRoot
from tests.directory_runtime.house import House, new_state_dir


@pytest.fixture
def house() -> Iterator[House]:
    """With control groups where they can be written."""
    made = House(new_state_dir())
    yield made
    made.close()


@pytest.fixture
def bare_house() -> Iterator[House]:
    """As on a machine where no control group can be written."""
    made = House(new_state_dir(), use_cgroups=False)
    yield made
    made.close()


@pytest.fixture(params=["cgroups", "bare"])
def any_house(request: pytest.FixtureRequest) -> Iterator[House]:
    """Both, one after the other; where no control group can be written they would be the same."""
    if request.param == "cgroups" and not CgroupRoot("probe").writable_controllers():
        pytest.skip("control groups cannot be written here")
    made = House(new_state_dir(), use_cgroups=request.param == "cgroups")
    yield made
    made.close()
