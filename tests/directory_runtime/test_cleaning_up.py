"""What is left over is removed, and what cannot be removed holds up nothing else."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.model.errors import DiskFullError, RuntimeFailure
from controller.model.identity import Key, sandbox_key
from controller.model.observed import InstanceState
from controller.runtime.cgroup.group import CgroupGroup
from controller.runtime.cgroup.root import CgroupRoot
from controller.runtime.directory.environment import Environments
from controller.runtime.directory.logs import DirectoryLog
from tests.directory_runtime.house import House, until
from tests.e2e.daemon import end_supervisor


def test_what_a_supervisor_still_has_is_told_and_ended(house: House) -> None:
    id = house.make("sleep", "1000")
    (left,) = end_supervisor(house.state_dir)
    assert "sleep" in left
    assert not house.see(id).pid
    assert end_supervisor(house.state_dir) == []


def _collect(house: House) -> None:
    house.runtime.collect_garbage(lambda _: True)


@contextmanager
def _immutable(path: Path) -> Iterator[None]:
    if subprocess.run(["chattr", "+i", str(path)], capture_output=True, check=False).returncode != 0:
        pytest.skip("this file system has no immutable files")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)


@pytest.mark.root
def test_a_folder_that_cannot_be_erased_keeps_no_other_from_it(house: House) -> None:
    house.runtime.remove(house.make())
    directories = house.state_dir / "directories"
    stubborn = directories / ".removed-a" / "file"
    others = [directories / f".removed-{name}" for name in "0bz"]
    forgotten = directories / ".staged-old"
    for folder in (stubborn.parent, forgotten, *others):
        folder.mkdir()
    stubborn.touch()
    os.utime(forgotten, (0, 0))
    with _immutable(stubborn):
        _collect(house)
        assert [path.name for path in directories.iterdir()] == [".removed-a"]
    _collect(house)
    assert list(directories.iterdir()) == []


def test_an_environment_that_is_taken_meanwhile_is_passed_by(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    directories = house.state_dir / "directories"
    directories.mkdir()
    for name in "ab":
        (directories / f".staged-{name}").mkdir()
        os.utime(directories / f".staged-{name}", (0, 0))
    discard = Environments.discard

    def take_the_other(environments: Environments, staged: Path) -> None:
        for path in directories.iterdir():
            discard(environments, path)

    monkeypatch.setattr(Environments, "discard", take_the_other)
    _collect(house)
    assert list(directories.iterdir()) == []


def test_a_group_whose_processes_do_not_die_keeps_no_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    root = CgroupRoot(house.instance)
    if not root.writable_controllers():
        pytest.skip("control groups cannot be written here")
    for name in ("a", "b", "c"):
        root.create(name)
    kill = CgroupGroup.kill

    def kill_all_but_b(group: CgroupGroup) -> None:
        if group.name == "b":
            raise RuntimeFailure("processes [1] of b do not die: look at them by hand")
        kill(group)

    monkeypatch.setattr(CgroupGroup, "kill", kill_all_but_b)
    _collect(house)
    assert root.names() == {"b"}


def _fail_to_write_records(monkeypatch: pytest.MonkeyPatch, before: Callable[[], None] = lambda: None) -> None:
    def fail(*_: object) -> None:
        before()
        raise DiskFullError("the disk of the state folder is full: free some")

    monkeypatch.setattr("controller.runtime.directory.lifecycle.write_record", fail)


def test_what_a_creation_that_was_cut_off_left_is_removed_after_a_restart(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = House(house.state_dir / "other")
    other.make(name="others")
    kept = house.make(name="kept")
    _fail_to_write_records(monkeypatch)
    with pytest.raises(DiskFullError):
        house.make()
    monkeypatch.undo()
    directories, groups = house.state_dir / "directories", CgroupRoot(house.instance).names()
    assert len(list(directories.iterdir())) == 2
    house.reopen()
    _collect(house)
    assert [path.name for path in directories.iterdir()] == [kept]
    assert CgroupRoot(house.instance).names() == groups & {kept}
    assert len(CgroupRoot(other.instance).names()) == len(groups & {kept})
    other.close()


def test_what_is_being_created_is_no_leftover(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[frozenset[str]] = []

    def collect_meanwhile() -> None:
        collecting = threading.Thread(target=_collect, args=[house])
        collecting.start()
        collecting.join(10)
        seen.append(frozenset(path.name for path in (house.state_dir / "directories").iterdir()))

    _fail_to_write_records(monkeypatch, collect_meanwhile)
    with pytest.raises(DiskFullError):
        house.make()
    assert [len(names) for names in seen] == [1]


def test_a_folder_whose_record_cannot_be_read_is_kept_with_its_group(house: House) -> None:
    id = house.make()
    record = house.folder(id) / "sandbox.json"
    content, groups = record.read_text(), CgroupRoot(house.instance).names()
    record.write_text("{")
    house.reopen()
    _collect(house)
    assert (house.folder(id).exists(), CgroupRoot(house.instance).names()) == (True, groups)
    record.write_text(content)


def test_what_has_run_is_kept_though_its_record_is_lost(any_house: House) -> None:
    id = any_house.make("sleep", "1000")
    before, record = any_house.see(id), any_house.folder(id) / "sandbox.json"
    content = record.read_text()
    record.unlink()
    any_house.reopen()
    _collect(any_house)
    record.write_text(content)
    assert any_house.see(id) == before


def test_a_failure_to_look_at_one_exit_ends_not_the_looking(house: House) -> None:
    woken: list[Key | None] = []
    again = threading.Event()

    def wake(key: Key | None) -> None:
        woken.append(key)
        if len(woken) == 1:
            raise ValueError("a bug")
        again.set()

    house.runtime.watch(wake)
    house.make("sh", "-c", "exit 1", name="first")
    assert again.wait(10)
    woken.clear()
    house.make("sh", "-c", "exit 1", name="second")
    until(lambda: sandbox_key("default", "second") in woken)


@contextmanager
def _no_descriptors() -> Iterator[None]:
    """None to open beyond those that are open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_a_log_says_so(house: House) -> None:
    id = house.make()
    with pytest.raises(RuntimeFailure, match="LimitNOFILE"), _no_descriptors():
        DirectoryLog(house.folder(id), None, follow=True)


def test_a_record_that_could_not_be_opened_is_read_as_soon_as_it_can_be(house: House) -> None:
    id = house.make()
    until(lambda: time.time() - house.folder(id).stat().st_mtime > 0.2)  # its times say no more of it
    runtime = house.reopen()
    with _no_descriptors(), pytest.raises(RuntimeFailure):
        runtime.stop(id, 1)
    assert house.state(id) is InstanceState.RUNNING


@pytest.mark.root
def test_a_start_without_its_own_folders_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    id = house.make("sleep", "100")
    house.runtime.kill(id)

    def gone(*_: object) -> tuple[str, ...]:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("controller.runtime.directory.launch.closed_ancestors", gone)
    with pytest.raises(RuntimeFailure, match="No such file or directory"):
        house.runtime.start(id)
    assert house.state(id) is InstanceState.EXITED
