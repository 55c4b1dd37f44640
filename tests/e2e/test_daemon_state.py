"""What the daemon remembers: damaged, gone, or with no room to be written."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from tests.e2e.containers import Outside
from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import FOREVER, declare, is_alive, manifest, pid_of, reasons, uid_of, workspace_of


def delete(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def garble(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 1000)


@pytest.mark.parametrize("damage", [delete, truncate, garble])
def test_a_lost_store_is_rebuilt_from_what_runs_and_nothing_is_restarted(
    engineless: RunningDaemon, damage: Callable[[Path], None]
) -> None:
    declare(engineless, "web", *FOREVER)
    engineless.write("idle.yaml", manifest("idle"))
    engineless.wait_ready("web", "idle")
    pid, uids = pid_of(engineless, "web"), {name: uid_of(engineless, name) for name in ("web", "idle")}
    assert engineless.stop() == 0  # so that nothing is left in the log that SQLite writes ahead
    damage(engineless.state_dir / "state.db")
    before = len(engineless.logged())
    engineless.start()
    engineless.wait_ready("web", "idle")
    assert pid_of(engineless, "web") == pid
    assert {name: uid_of(engineless, name) for name in ("web", "idle")} == uids
    assert engineless.status("web")["restarts"] == 0
    assert "Created" not in reasons(engineless, "web")
    if damage is not delete:
        assert "state_rebuilt" in engineless.logged()[before:], "it says so"
        assert list(engineless.state_dir.glob("state.db.*")), "the damaged one is kept for a look"


def refuse(daemon: RunningDaemon) -> None:
    """One manifest has a field that there is not, another is no YAML, a third was cut off."""
    daemon.write("web.yaml", manifest("web", *FOREVER, comand=[]))
    daemon.write("idle.yaml", "{")
    daemon.write("late.yaml", "")


def unmount(daemon: RunningDaemon) -> None:
    """The folder of the manifests is not there."""
    daemon.manifests.rename(daemon.root / "away")


@pytest.mark.parametrize("lose", [refuse, unmount])
def test_a_lost_store_and_no_manifest_to_be_had_restarts_nothing_and_removes_nothing(
    engineless: RunningDaemon, lose: Callable[[RunningDaemon], None]
) -> None:
    daemon, names = engineless, ("web", "idle", "late")
    texts = {"web": manifest("web", *FOREVER), "idle": manifest("idle"), "late": manifest("late", *FOREVER)}
    for name, text in texts.items():
        daemon.write(f"{name}.yaml", text)
    daemon.wait_ready(*names)
    pids = {name: pid_of(daemon, name) for name in ("web", "late")}
    uids = {name: uid_of(daemon, name) for name in names}
    assert daemon.stop() == 0
    delete(daemon.state_dir / "state.db")
    lose(daemon)
    for _ in range(2):
        daemon.start()
        for name in names:
            daemon.wait_condition(name, "Ready", "False", "ManifestUnknown")
        daemon.kill()
    assert all(is_alive(pid) for pid in pids.values())
    if not daemon.manifests.exists():
        (daemon.root / "away").rename(daemon.manifests)
    daemon.start()
    for name, text in texts.items():
        daemon.write(f"{name}.yaml", text)
    daemon.wait_ready(*names)
    assert {name: pid_of(daemon, name) for name in pids} == pids
    assert {name: uid_of(daemon, name) for name in names} == uids
    assert all(daemon.status(name)["restarts"] == 0 for name in names)
    assert not {"Created", "Started", "Stopped", "Removed"} & {event["reason"] for event in daemon.events()}


@pytest.fixture
def by_link(docker_host: str, busybox_image: str, tmp_path: Path) -> Iterator[RunningDaemon]:
    """A daemon that finds the session's engine through a link, which can be taken away."""
    link = tmp_path / "docker.sock"
    link.symlink_to(docker_host.removeprefix("unix://"))
    with RunningDaemon(f"unix://{link}") as daemon:
        yield daemon


@pytest.mark.docker
def test_a_lost_store_and_an_engine_that_is_away_at_first_restarts_nothing_and_removes_nothing(
    by_link: RunningDaemon, docker_client: DockerClient, tmp_path: Path
) -> None:
    daemon, outside, link = by_link, Outside(docker_client, by_link), tmp_path / "docker.sock"
    daemon.declare("web")
    daemon.declare("gone")
    daemon.wait_ready("web", "gone")
    before = {name: outside.identity(name) for name in ("web", "gone")}
    uids = {name: uid_of(daemon, name) for name in before}
    assert daemon.stop() == 0
    delete(daemon.state_dir / "state.db")
    daemon.undeclare("gone")
    socket = link.readlink()
    link.unlink()
    daemon.start()
    daemon.wait_condition("web", "Degraded", "True", "EngineDown")
    link.symlink_to(socket)
    daemon.wait_ready("web")
    daemon.wait_condition("gone", "Ready", "False", "ManifestUnknown")
    daemon.declare("gone")
    daemon.wait_ready("gone")
    assert {name: outside.identity(name) for name in before} == before
    assert {name: uid_of(daemon, name) for name in before} == uids
    assert len(outside.containers()) == 2


def test_damaged_holds_are_said_and_the_manifest_wins(engineless: RunningDaemon) -> None:
    declare(engineless, "web", *FOREVER)
    engineless.wait_ready("web")
    engineless.cli("suspend", "web")
    engineless.wait_condition("web", "Suspended", "True")
    engineless.kill()
    (engineless.state_dir / "holds.json").write_text("{not json")
    engineless.start()
    engineless.wait_ready("web")
    assert "holds" in engineless.logged()
    assert engineless.status("web")["holds"] == []


@pytest.fixture
def on_small_disk() -> Iterator[RunningDaemon]:
    """A daemon whose state folder is a file system of 2 MiB."""
    daemon = RunningDaemon(None)
    daemon.state_dir.mkdir()
    size = "size=2m,mode=0711"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(daemon.state_dir)], check=True)
    try:
        with daemon:
            yield daemon
    finally:
        subprocess.run(["umount", "--lazy", str(daemon.state_dir)], check=True)
        daemon.state_dir.rmdir()
        daemon.root.rmdir()


@pytest.mark.root
def test_a_full_disk_stops_nothing_is_shown_and_is_got_over(on_small_disk: RunningDaemon) -> None:
    daemon = on_small_disk
    declare(daemon, "web", *FOREVER)
    daemon.wait_ready("web")
    pid = pid_of(daemon, "web")
    filler = daemon.state_dir / "filler"
    fill(filler)
    declare(daemon, "late", *FOREVER)
    daemon.until(lambda: "late" in daemon.sandboxes(), "the new one is seen")
    daemon.wait_condition("late", "Ready", "False")
    daemon.until(lambda: any("space" in fault for fault in faults(daemon)), "the fault is shown")
    daemon.until(lambda: "space" in daemon.condition("late", "Degraded").get("message", ""), "and where it matters")
    assert "space" in daemon.cli("get").stderr
    assert pid_of(daemon, "web") == pid
    assert daemon.condition("web", "Ready")["status"] == "True"
    daemon.undeclare("web")
    daemon.wait_gone("web")
    filler.unlink()
    daemon.wait_ready("late")
    daemon.until(lambda: not faults(daemon), "the fault is over")


@pytest.mark.root
def test_a_daemon_starts_on_a_full_disk_and_adopts_what_runs(on_small_disk: RunningDaemon) -> None:
    daemon = on_small_disk
    declare(daemon, "web", *FOREVER)
    daemon.wait_ready("web")
    pid = pid_of(daemon, "web")
    filler = daemon.state_dir / "filler"
    fill(filler)
    daemon.kill()
    daemon.start()
    daemon.wait_ready("web")
    assert pid_of(daemon, "web") == pid
    filler.unlink()
    declare(daemon, "late", *FOREVER)
    daemon.wait_ready("late")


def fill(path: Path) -> None:
    """Write until there is no room left."""
    subprocess.run(["dd", "if=/dev/zero", f"of={path}", "bs=4k"], check=False, capture_output=True)


def faults(daemon: RunningDaemon) -> list[str]:
    found: list[str] = daemon.call("GET", "/api/v1/daemon")["faults"]
    return found


def test_a_workspace_removed_by_hand_is_made_again(engineless: RunningDaemon) -> None:
    declare(engineless, "web", *FOREVER)
    engineless.wait_ready("web")
    workspace_of(engineless, "web").rmdir()
    engineless.cli("restart", "web")
    engineless.until(lambda: workspace_of(engineless, "web").is_dir(), "it is made again")
    engineless.wait_ready("web")
