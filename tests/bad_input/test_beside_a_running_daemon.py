"""Everything that a manifest folder should not hold, all at once, beside a sandbox that runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import FOREVER, declare, manifest, pid_of

ALIASES = "\n".join(
    ["a: &a [x, x, x, x, x, x, x, x, x]"]
    + [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]
)

# By file name: what is in it, and what has to be said of it.
TEXTS = {
    "broken.yaml": (b"kind: [\n", "broken.yaml:2:1"),
    "bomb.yaml": (ALIASES.encode(), "bomb.yaml:5:"),
    "latin.yaml": (b"kind: Sandbox # \xe9\n", "latin.yaml:1:17: is not UTF-8"),
    "kind.yaml": (b"apiVersion: sandkeeper.dev/v1alpha1\nkind: Podd\n", "kind.yaml:2:7: kind"),
    "unit.yaml": (
        manifest("unit", resources={"limits": {"memory": "12 apples"}}).encode(),
        "unit.yaml:12:15: spec.resources.limits.memory",
    ),
    "name.yaml": (manifest("../../etc/cron.d/x").encode(), "name.yaml:5:"),
    "image.yaml": (manifest("image", isolation="container", image="-rf /").encode(), "image.yaml:"),
    "unknown.yaml": (manifest("unknown", privileged=True).encode(), "unknown.yaml:"),
    "empty.yaml": (b"", ""),
}


@pytest.fixture
def running() -> Iterator[RunningDaemon]:
    """With one good sandbox."""
    with RunningDaemon(None) as daemon:
        declare(daemon, "good", *FOREVER)
        daemon.wait_ready("good")
        yield daemon


def put(folder: Path) -> None:
    for name, (content, _) in TEXTS.items():
        (folder / name).write_bytes(content)
    with (folder / "huge.yaml").open("wb") as file:
        file.truncate(50 << 20)
    os.mkfifo(folder / "pipe.yaml")
    (folder / "folder.yaml").mkdir()
    (folder / "out.yaml").symlink_to("/etc/passwd")


def faults(daemon: RunningDaemon) -> list[str]:
    found: list[str] = daemon.call("GET", "/api/v1/daemon")["faults"]
    return found


def is_shown(daemon: RunningDaemon, place: str) -> bool:
    return any(fault.startswith(place) for fault in faults(daemon))


def test_each_fault_is_shown_in_its_place_and_the_good_sandbox_is_not_touched(running: RunningDaemon) -> None:
    pid, before = pid_of(running, "good"), running.status("good")["conditions"]
    put(running.manifests)
    places = [place for _, place in TEXTS.values() if place]
    places += ["huge.yaml:1:1", "pipe.yaml:1:1: is a named pipe", "folder.yaml:1:1: is a folder", "out.yaml:1:1"]
    for place in places:
        running.until(partial(is_shown, running, place), place)
    assert "root:" not in "".join(faults(running)), "nothing of a file outside is shown"
    assert set(running.sandboxes()) == {"good"}
    assert pid_of(running, "good") == pid
    assert running.status("good")["conditions"] == before
    assert "note:" in running.cli("get").stderr
    declare(running, "late", *FOREVER)
    running.wait_ready("late")
    running.kill()
    running.start()
    assert pid_of(running, "good") == pid
    assert len(faults(running)) >= len(places)
    assert 'sandkeeper_manifests{state="refused"}' in running.metrics()
    for path in running.manifests.iterdir():
        if path.name not in ("good.yaml", "late.yaml"):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    running.until(lambda: faults(running) == [], "all is well again")
    assert pid_of(running, "good") == pid
