"""A workspace in the trash is asked back."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.model.conditions import ConditionType
from controller.runtime.workspace import WorkspaceFolder
from tests.loop.harness import Harness, document


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def die(*_: object) -> None:
    """The daemon's end."""
    raise KeyboardInterrupt


def test_a_restored_workspace_waits_for_its_manifest_and_comes_back_with_its_uid(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    uid = harness.entry("web").record.uid
    workspace = Path(harness.workspaces.ensure(uid, 0, 0))
    (workspace / "notes").write_text("kept")
    harness.declare()
    answer = harness.loop.control.restore(harness.key("web"))
    harness.settle()
    assert (answer["uid"], answer["declared"]) == (uid, False)
    assert (workspace / "notes").read_text() == "kept"
    harness.restart()
    harness.settle()
    assert workspace.exists()
    harness.declare(document("web"))
    harness.advance(2)
    assert harness.entry("web").record.uid == uid
    assert harness.docker.only().owner.uid == uid


def test_a_workspace_is_restored_under_a_sandbox_that_was_declared_again(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    uid = harness.entry("web").record.uid
    (Path(harness.workspaces.ensure(uid, 0, 0)) / "notes").write_text("kept")
    harness.declare()
    harness.declare(document("web"))
    harness.advance(2)
    assert harness.entry("web").record.uid != uid
    harness.loop.control.restore(harness.key("web"))
    harness.advance(2)
    assert harness.docker.only().owner.uid == uid
    assert (Path(harness.workspaces.path(uid)) / "notes").read_text() == "kept"


def test_a_restore_that_cannot_be_is_told_once_and_harms_nothing(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    harness.workspaces.ensure(harness.entry("web").record.uid, 0, 0)
    harness.declare()
    harness.declare(document("web"))
    harness.advance(2)
    harness.loop.control.restore(harness.key("web"))
    (trashed,) = harness.workspaces.trashed()
    harness.workspaces.erase(trashed.uid)
    harness.advance(5)
    assert harness.events("web").count("RestoreFailed") == 1
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    assert "reconciled panic" not in harness.recorder.counts


def test_a_daemon_that_dies_as_it_restores_has_the_workspace_under_its_sandbox_after_its_restart(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    uid = harness.entry("web").record.uid
    (Path(harness.workspaces.ensure(uid, 0, 0)) / "notes").write_text("kept")
    harness.declare()
    harness.declare(document("web"))
    harness.advance(2)
    empty = Path(harness.workspaces.ensure(harness.entry("web").record.uid, 0, 0))

    harness.loop.control.restore(harness.key("web"))
    for moment in ("restore", "_tidy"):
        with monkeypatch.context() as patch:
            patch.setattr(WorkspaceFolder, moment, die)
            with pytest.raises(KeyboardInterrupt):
                harness.settle()
        harness.restart()
    harness.advance(2)
    assert harness.docker.only().owner.uid == uid
    assert (Path(harness.workspaces.path(uid)) / "notes").read_text() == "kept"
    assert not empty.exists()


def test_a_workspace_that_waits_for_its_manifest_goes_back_to_the_trash_when_somebody_says_so(
    harness: Harness,
) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    uid = harness.entry("web").record.uid
    harness.workspaces.ensure(uid, 0, 0)
    harness.declare()
    harness.loop.control.restore(harness.key("web"))
    harness.settle()
    assert harness.workspaces.trashed() == []
    harness.loop.control.delete(harness.key("web"), hold=False)
    harness.settle()
    (trashed,) = harness.workspaces.trashed()
    assert (trashed.uid, trashed.document["metadata"]) == (uid, {"name": "web", "namespace": "default"})
    assert harness.world.entry(harness.key("web")) is None
