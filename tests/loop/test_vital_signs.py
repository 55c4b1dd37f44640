"""What a daemon says of its own health."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loop.harness import Harness

HANGS = "/srv/manifests has not answered for 31 s and no edit is seen; check its file system"


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    """One whose threads run."""
    harness = Harness(tmp_path)
    harness.loop.daemon.start()
    yield harness
    harness.loop.daemon.stop()


def test_a_folder_that_hangs_is_a_fault_that_is_shown_and_no_reason_to_start_anew(harness: Harness) -> None:
    harness.source.hanging = HANGS
    info = harness.loop.control.info()
    assert info.faults == (HANGS,)
    assert info.alive
    assert harness.loop.daemon.alive()


def test_a_plan_made_while_the_folder_hangs_says_that_it_may_lack_edits(harness: Harness) -> None:
    harness.source.deliver(harness.source.present)
    assert harness.loop.control.plan().faults == []
    harness.source.hanging = HANGS
    assert harness.loop.control.plan().faults == (HANGS,)


def test_a_daemon_whose_source_has_died_is_not_alive(harness: Harness) -> None:
    assert harness.loop.control.info().alive
    harness.source.died = True
    assert not harness.loop.control.info().alive
    assert not harness.loop.daemon.alive()
