"""Groups that are gone after the test, whatever became of it."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from controller.runtime.cgroup.group import CgroupGroup
from controller.runtime.cgroup.hierarchy import Hierarchy
from controller.runtime.cgroup.root import CgroupRoot
from tests.measuring.machine import v2_hierarchy


def _cleared(root: CgroupRoot) -> None:
    for name in root.names():
        group = root.group(name)
        group.kill()
        group.remove()
    root.remove()


@pytest.fixture
def root() -> Iterator[CgroupRoot]:
    """Groups of an instance of the test's own, with the controllers that this machine has."""
    root = CgroupRoot(f"test-{uuid4()}")
    yield root
    _cleared(root)


@pytest.fixture
def group(root: CgroupRoot) -> CgroupGroup:
    """A group, still empty."""
    return root.create("sandbox")


@pytest.fixture(params=["v1", "v2"])
def any_root(request: pytest.FixtureRequest) -> Iterator[CgroupRoot]:
    """The same on each version that this machine has mounted; a hybrid machine has both."""
    hierarchy = Hierarchy.detect() if request.param == "v1" else v2_hierarchy()
    if hierarchy is None or f"v{hierarchy.version}" != request.param:
        pytest.skip(f"no cgroup {request.param} is mounted here")
    root = CgroupRoot(f"test-{uuid4()}", hierarchy)
    yield root
    _cleared(root)
