"""The workspace is the user's of whichever version of a sandbox runs."""

from __future__ import annotations

import pytest

from controller.model.observed import Observed
from tests.docker_runtime.bench import Bench

pytestmark = [pytest.mark.docker, pytest.mark.root]
WRITE = "echo more >> /workspace/file && cat /workspace/file"


def a_version_with_another_user_fails(bench: Bench, old: Observed) -> None:
    """It is made, and so has the workspace, runs for a moment, and is removed again."""
    spec = {"user": "20002:20003", "command": ["sh", "-c", "echo theirs > /workspace/theirs; exit 1"]}
    new = bench.create(spec=spec, slot="b", uid=old.owner.uid)
    bench.runtime.start(new.id)
    assert bench.ended(new).code == 1
    bench.runtime.remove(new.id)


def test_a_version_that_is_thawed_again_has_its_workspace_again(bench: Bench) -> None:
    old = bench.run()
    bench.sh(old.id, "echo first > /workspace/file")
    bench.runtime.pause(old.id)
    a_version_with_another_user_fails(bench, old)
    bench.runtime.unpause(old.id)
    assert bench.sh(old.id, WRITE) == (0, "first\nmore\n")
    assert bench.sh(old.id, "rm /workspace/theirs")[0] == 0


def test_a_version_that_is_started_again_has_its_workspace_again(bench: Bench) -> None:
    old = bench.run()
    bench.sh(old.id, "echo first > /workspace/file")
    bench.runtime.stop(old.id, 1)
    a_version_with_another_user_fails(bench, old)
    bench.runtime.start(old.id)
    assert bench.sh(old.id, WRITE) == (0, "first\nmore\n")
