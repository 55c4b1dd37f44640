"""The daemon without root: directory sandboxes run as the user, and the contract says what that is worth."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import FOREVER, declare, is_alive, pid_of
from tests.support.ordinary_user import ORDINARY, as_ordinary_user

SAMPLES = Path(__file__).resolve().parents[2] / "manifests"


@pytest.fixture
def ordinary() -> Iterator[RunningDaemon]:
    """Everything of it belongs to a user without a name; $HOME is its own."""
    daemon = RunningDaemon(None)
    daemon.environment |= {"HOME": str(daemon.root), "PYTHONDONTWRITEBYTECODE": "1"}
    for path in (daemon.root, daemon.manifests):
        os.chown(path, ORDINARY, ORDINARY)
    daemon.prefix = as_ordinary_user()
    with daemon:
        yield daemon


@pytest.mark.root
def test_the_directory_sample_is_ready_and_the_contract_is_honest(ordinary: RunningDaemon) -> None:
    shutil.copytree(SAMPLES, ordinary.manifests, dirs_exist_ok=True)
    declare(ordinary, "web", *FOREVER)
    ordinary.wait_ready("web")
    ordinary.until(lambda: "hello-skill" in ordinary.sandboxes(), "the skill is read")
    names = [name for name, item in ordinary.sandboxes().items() if item["spec"]["isolation"] == "directory"]
    assert len(names) > 1
    ordinary.wait_ready(*names)
    pid = pid_of(ordinary, "web")
    assert Path(f"/proc/{pid}").stat().st_uid == ORDINARY
    rows = {row["limit"]: row for row in ordinary.status("web")["enforcement"]}
    assert rows["user"]["state"] == "Unenforceable"
    assert rows["memory"]["state"] == "Measured"
    assert rows["pids"]["state"] == "Measured"
    assert rows["openFiles"]["state"] == "Enforced"
    skill = {row["limit"]: row for row in ordinary.status("hello-skill")["enforcement"]}["skill"]
    assert skill["state"] == "Unenforceable", "it could make its own files writable"
    greeting = ordinary.cli("exec", "hello-skill", "--", "sh", "-c", '"$SANDKEEPER_SKILL/scripts/greet.sh"')
    assert greeting.stdout == "Hello, everybody\n"
    ordinary.kill()
    ordinary.start()
    assert pid_of(ordinary, "web") == pid
    ordinary.undeclare("web")
    ordinary.wait_gone("web")
    assert not is_alive(pid)
