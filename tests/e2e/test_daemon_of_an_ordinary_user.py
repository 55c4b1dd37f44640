"""The daemon without root: directory sandboxes run as the user, and the contract says what that is worth."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import controller
from controller.runtime.directory.reach import closed_ancestors
from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import FOREVER, declare, is_alive, pid_of

ORDINARY = 64124
SAMPLES = Path(__file__).resolve().parents[2] / "manifests"


# In a mount namespace of its own: shows the places named after $0 below folders that are closed to ordinary users.
SHOW = """
set -e
hold=$(mktemp -d); mount -t tmpfs tmpfs "$hold"
closed=$1; shift
n=0; for place; do [ "$place" = -- ] && break; n=$((n+1)); mkdir "$hold/$n"; mount --bind "$place" "$hold/$n"; done
for folder in $closed; do mount -t tmpfs -o mode=0755 tmpfs "$folder"; done
n=0
while [ "$1" != -- ]; do n=$((n+1)); mkdir -p "$1"; mount --bind "$hold/$n" "$1"; shift; done
shift
exec "$@"
"""


def as_ordinary_user() -> list[str]:
    """What to put before a command; the same process becomes the command."""
    code = Path(controller.__file__).parent.parent
    places = [os.path.realpath(place) for place in (sys.base_prefix, sys.prefix, code)]
    closed = closed_ancestors([f"{place}/x" for place in places], ORDINARY)
    hidden = [place for place in places if place.startswith(tuple(f"{folder}/" for folder in closed))]
    user = ["setpriv", "--reuid", str(ORDINARY), "--regid", str(ORDINARY), "--clear-groups", "--no-new-privs"]
    return ["unshare", "--mount", "sh", "-c", SHOW, "show", " ".join(closed), *hidden, "--", *user]


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
    for sample in SAMPLES.glob("*.yaml"):
        shutil.copy(sample, ordinary.manifests / sample.name)
    declare(ordinary, "web", *FOREVER)
    ordinary.wait_ready("web")
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
    ordinary.kill()
    ordinary.start()
    assert pid_of(ordinary, "web") == pid
    ordinary.undeclare("web")
    ordinary.wait_gone("web")
    assert not is_alive(pid)
