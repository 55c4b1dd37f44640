"""The backstop behind events."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.loop.resync import Resync
from controller.model.errors import EngineTimeoutError, SandkeeperError, StateError
from controller.model.identity import Key
from tests.loop.harness import Harness, document


@pytest.mark.parametrize(
    "failure", [EngineTimeoutError("no answer about networks"), StateError("cannot remove .removed-1: it is in use")]
)
def test_garbage_that_cannot_be_collected_hides_no_change(tmp_path: Path, failure: SandkeeperError) -> None:
    harness, woken = Harness(tmp_path), list[Key]()
    harness.docker.fail("collect_garbage", failure, times=9)
    harness.declare(document("web"))
    harness.advance(2)
    resync = Resync(harness.docker, harness.world, woken.append)
    resync.run()
    woken.clear()
    resync.run()
    assert woken == []
    harness.docker.end(harness.docker.only().id, code=1)
    resync.run()
    assert woken == [harness.key("web")]
