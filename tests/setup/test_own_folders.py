"""What is the daemon's own is no sandbox's, wherever the operator put it."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.bootstrap import SourceMemory, make_source
from controller.config import DaemonConfig
from controller.model.clock import SystemClock
from controller.source.skills import unread
from tests.source.helpers import manifest


@pytest.mark.parametrize("source", ["state/run", "secrets/token", "."])
def test_state_and_secrets_below_the_watched_folder_are_never_mounted(tmp_path: Path, source: str) -> None:
    mounts = f"{{image: busybox, filesystem: {{mounts: [{{source: {source}, target: /data}}]}}}}"
    (tmp_path / "web.yaml").write_text(manifest("web", mounts))
    config = DaemonConfig(tmp_path, tmp_path / "state", secrets_dir=tmp_path / "secrets", engine="/nowhere.sock")
    snapshot = make_source(config, SourceMemory({}), SystemClock(), unread).scan_once()
    assert [fault.message for fault in snapshot.faults if "the daemon's own files" in fault.message]
    assert not snapshot.documents
