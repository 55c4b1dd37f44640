"""Removals that nobody may have meant: held back, shown everywhere, released only as the set that was shown."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import is_blocked, manifest
from tests.support.hanging import hanging

NAMES = ("one", "two", "three", "four", "five")


@pytest.fixture
def five(engineless: RunningDaemon) -> RunningDaemon:
    for name in NAMES:
        engineless.write(f"{name}.yaml", manifest(name))
    engineless.wait_ready(*NAMES)
    return engineless


def empty(daemon: RunningDaemon) -> None:
    for path in daemon.manifests.glob("*.yaml"):
        path.unlink()


def replace(daemon: RunningDaemon) -> None:
    daemon.manifests.rename(daemon.root / "former")
    daemon.manifests.mkdir()


@pytest.mark.parametrize("lose", [empty, replace])
def test_a_mass_removal_is_held_back_shown_and_released_as_the_set_that_was_shown(
    five: RunningDaemon, lose: Callable[[RunningDaemon], None]
) -> None:
    assert "sandkeeper_prune_blocked 0.0" in five.metrics()
    lose(five)
    five.until(lambda: is_blocked(five), "the removal is held back")
    assert set(five.sandboxes()) == set(NAMES)
    assert "sandkeeper_prune_blocked 1.0" in five.metrics()
    shown = five.cli("prune", check=False)
    assert shown.returncode == 2
    assert all(f"default/{name}" in shown.stdout for name in NAMES)
    (hash_,) = re.findall(r"--confirm ([0-9a-f]{8})", shown.stdout)
    for verb in (("get",), ("describe", "one"), ("doctor",)):
        done = five.cli(*verb, check=False)
        assert "prune" in done.stdout + done.stderr, verb
    five.kill()
    five.start()
    five.until(lambda: is_blocked(five), "it is held back over a restart too")
    assert set(five.sandboxes()) == set(NAMES)
    five.write("one.yaml", manifest("one"))
    five.until(lambda: "default/one" not in five.cli("prune", check=False).stdout, "one is declared again")
    assert five.cli("prune", "--confirm", hash_, check=False).returncode == 64, "the set is another by now"
    assert set(five.sandboxes()) == set(NAMES)
    (hash_,) = re.findall(r"--confirm ([0-9a-f]{8})", five.cli("prune", check=False).stdout)
    five.cli("prune", "--confirm", hash_)
    for name in NAMES[1:]:
        five.wait_gone(name)
    assert set(five.sandboxes()) == {"one"}
    assert "sandkeeper_prune_blocked 0.0" in five.metrics()


def test_a_plan_says_the_same_of_what_is_held_back_with_a_daemon_and_without(five: RunningDaemon) -> None:
    five.environment["SANDKEEPER_MANIFESTS"] = str(five.manifests)
    replace(five)
    five.until(lambda: is_blocked(five), "the removal is held back")
    five.write("seldom.yaml", manifest("seldom", resources={"limits": {"memory": "64M"}}))
    five.wait_ready("seldom")
    asked = five.cli("plan", check=False)
    five.stop()
    remembered = (five.state_dir / "source.json").read_bytes()
    alone = five.cli("plan", check=False)
    assert (alone.returncode, alone.stdout, alone.stderr) == (asked.returncode, asked.stdout, asked.stderr)
    assert asked.stderr == (
        "error: 5 removals are held back: the watched folder was replaced, and 5 are no longer declared\n"
    )
    assert asked.returncode == 1
    assert (five.state_dir / "source.json").read_bytes() == remembered


def test_three_of_five_go_without_asking(five: RunningDaemon) -> None:
    for name in NAMES[:3]:
        five.undeclare(name)
    for name in NAMES[:3]:
        five.wait_gone(name)
    assert not is_blocked(five)


@pytest.fixture
def mounted() -> Iterator[RunningDaemon]:
    """A daemon whose folder is a file system of its own."""
    daemon = RunningDaemon(None)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(daemon.manifests)], check=True)
    try:
        with daemon:
            yield daemon
    finally:
        subprocess.run(["umount", "--lazy", str(daemon.manifests)], check=False, capture_output=True)


@pytest.mark.root
def test_a_folder_that_does_not_answer_holds_up_neither_the_command_line_nor_the_end(
    engineless: RunningDaemon,
) -> None:
    engineless.write("one.yaml", manifest("one"))
    engineless.wait_ready("one")
    with hanging(engineless.manifests):
        assert "one" in engineless.cli("get").stdout
        engineless.cli("suspend", "one")
        engineless.wait_condition("one", "Suspended", "True")
        assert engineless.stop() == 0


@pytest.mark.root
def test_a_folder_that_is_unmounted_loses_nothing(mounted: RunningDaemon) -> None:
    mounted.write("one.yaml", manifest("one"))
    mounted.wait_ready("one")
    subprocess.run(["umount", "--lazy", str(mounted.manifests)], check=True)
    mounted.until(lambda: is_blocked(mounted), "the removal is held back")
    assert mounted.condition("one", "Ready")["status"] == "True"
    assert "one" in mounted.cli("get").stdout
