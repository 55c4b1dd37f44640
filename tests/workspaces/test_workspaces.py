"""Workspaces: made, handed over, trashed, restored, erased."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from controller.model.errors import DiskFullError, StateError, UsageError
from controller.model.identity import sandbox_key
from controller.runtime.protocol import TrashedWorkspace, Workspaces
from controller.runtime.workspace import WorkspaceFolder
from tests.support.clock import FakeClock

KEY = sandbox_key("default", "web")
DOCUMENT = {"metadata": {"name": "web"}, "spec": {"command": ["sleep", "1"]}}
UID = "6f7c2c7e-5a1b-4b6e-9d43-0a4d6f3f2f10"
ME = (os.getuid(), os.getgid())


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def workspaces(tmp_path: Path, clock: FakeClock) -> WorkspaceFolder:
    return WorkspaceFolder(tmp_path, clock, trash_ttl=100.0)


def filled(workspaces: WorkspaceFolder, uid: str = UID) -> Path:
    """A workspace with a file in it."""
    path = Path(workspaces.ensure(uid, *ME))
    (path / "file").write_text("precious")
    return path


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_it_is_what_the_loop_expects(workspaces: WorkspaceFolder) -> None:
    expected: Workspaces = workspaces
    assert expected is workspaces


def test_a_workspace_is_made_for_its_owner_alone(workspaces: WorkspaceFolder, tmp_path: Path) -> None:
    path = Path(workspaces.ensure(UID, *ME))
    assert path == tmp_path / "workspaces" / UID == Path(workspaces.path(UID))
    assert path.stat().st_mode & 0o7777 == 0o700
    assert path.parent.stat().st_mode & 0o7777 == 0o711
    assert workspaces.is_empty(UID)


def test_a_workspace_that_is_there_keeps_its_files_and_gets_its_mode_back(workspaces: WorkspaceFolder) -> None:
    path = filled(workspaces)
    path.chmod(0o777)
    workspaces.ensure(UID, *ME)
    assert (path / "file").read_text() == "precious"
    assert path.stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize(
    "uid",
    ["", ".", "..", "../x", "/etc", "web", UID.upper(), f"{{{UID}}}", UID.replace("-", ""), f"{UID}/..", UID + "\n"],
)
def test_what_is_no_uid_is_refused_by_every_call(workspaces: WorkspaceFolder, uid: str, tmp_path: Path) -> None:
    calls = (
        lambda: workspaces.path(uid),
        lambda: workspaces.ensure(uid, *ME),
        lambda: workspaces.trash(uid, KEY, DOCUMENT),
        lambda: workspaces.erase(uid),
        lambda: workspaces.restore(uid),
        lambda: workspaces.is_empty(uid),
    )
    for call in calls:
        with pytest.raises(UsageError):
            call()
    assert left_in(tmp_path) == []


def test_what_was_trashed_is_listed_with_its_manifest_and_can_be_restored(
    workspaces: WorkspaceFolder, clock: FakeClock
) -> None:
    path = filled(workspaces)
    workspaces.trash(UID, KEY, DOCUMENT)
    now = clock.now()
    assert not path.exists()
    assert workspaces.trashed() == [TrashedWorkspace(UID, KEY, now, DOCUMENT)]
    workspaces.restore(UID)
    assert (path / "file").read_text() == "precious"
    assert workspaces.trashed() == []


def test_the_trash_is_listed_newest_first(workspaces: WorkspaceFolder, clock: FakeClock) -> None:
    uids = [str(uuid4()) for _ in range(3)]
    for uid in uids:
        filled(workspaces, uid)
        workspaces.trash(uid, KEY, DOCUMENT)
        clock.advance(1.0)
    assert [item.uid for item in workspaces.trashed()] == uids[::-1]


def test_trashing_what_is_gone_succeeds_and_leaves_nothing(workspaces: WorkspaceFolder, tmp_path: Path) -> None:
    workspaces.trash(UID, KEY, DOCUMENT)
    assert workspaces.trashed() == []
    assert left_in(tmp_path / "trash") == []


def test_trashing_twice_keeps_the_first(workspaces: WorkspaceFolder) -> None:
    filled(workspaces)
    workspaces.trash(UID, KEY, DOCUMENT)
    workspaces.trash(UID, KEY, {})
    assert workspaces.trashed()[0].document == DOCUMENT


def test_an_older_trashed_one_is_never_overwritten(workspaces: WorkspaceFolder) -> None:
    filled(workspaces)
    workspaces.trash(UID, KEY, DOCUMENT)
    path = filled(workspaces)
    with pytest.raises(StateError, match="older one is in the way"):
        workspaces.trash(UID, KEY, DOCUMENT)
    assert (path / "file").exists()


def test_a_move_to_the_trash_that_was_interrupted_is_made_good_by_the_next(
    workspaces: WorkspaceFolder, tmp_path: Path
) -> None:
    path = filled(workspaces)
    (tmp_path / "trash" / UID).mkdir()
    (tmp_path / "trash" / UID / "trashed.json").write_text('{"key": ["Sandbox"')
    assert workspaces.trashed() == []
    workspaces.trash(UID, KEY, DOCUMENT)
    assert [item.uid for item in workspaces.trashed()] == [UID]
    assert not path.exists()


def test_a_record_that_cannot_be_read_hides_its_workspace_but_loses_nothing(
    workspaces: WorkspaceFolder, tmp_path: Path
) -> None:
    path = filled(workspaces)
    workspaces.trash(UID, KEY, DOCUMENT)
    (tmp_path / "trash" / UID / "trashed.json").write_text("[]")
    assert workspaces.trashed() == []
    workspaces.restore(UID)
    assert (path / "file").exists()


def test_the_record_is_for_the_daemon_alone(workspaces: WorkspaceFolder, tmp_path: Path) -> None:
    filled(workspaces)
    workspaces.trash(UID, KEY, DOCUMENT)
    assert (tmp_path / "trash").stat().st_mode & 0o077 == 0
    assert json.loads((tmp_path / "trash" / UID / "trashed.json").read_text())["key"] == list(KEY)


def test_an_empty_workspace_gives_way_to_what_is_restored(workspaces: WorkspaceFolder) -> None:
    path = filled(workspaces)
    workspaces.trash(UID, KEY, DOCUMENT)
    workspaces.ensure(UID, *ME)
    workspaces.restore(UID)
    assert (path / "file").read_text() == "precious"


def test_a_workspace_with_files_does_not_give_way(workspaces: WorkspaceFolder) -> None:
    filled(workspaces)
    workspaces.trash(UID, KEY, DOCUMENT)
    (filled(workspaces) / "file").write_text("newer")
    with pytest.raises(StateError, match="not empty"):
        workspaces.restore(UID)
    assert [item.uid for item in workspaces.trashed()] == [UID]
    assert (Path(workspaces.path(UID)) / "file").read_text() == "newer"


def test_an_empty_workspace_of_another_uid_goes_for_what_is_restored_and_twice_is_once(
    workspaces: WorkspaceFolder,
) -> None:
    path, other = filled(workspaces), str(uuid4())
    workspaces.trash(UID, KEY, DOCUMENT)
    empty = Path(workspaces.ensure(other, *ME))
    (empty / "file").write_text("newer")
    with pytest.raises(StateError, match="not empty"):
        workspaces.restore(UID, other)
    assert not path.exists()
    (empty / "file").unlink()
    for _ in range(2):
        workspaces.restore(UID, other)
        assert (path / "file").read_text() == "precious"
        assert not empty.exists()
        assert workspaces.trashed() == []


def test_what_is_not_in_the_trash_cannot_be_restored(workspaces: WorkspaceFolder) -> None:
    with pytest.raises(StateError, match="not in the trash"):
        workspaces.restore(UID)


def test_the_trash_is_kept_for_its_time_and_not_longer(
    workspaces: WorkspaceFolder, clock: FakeClock, tmp_path: Path
) -> None:
    workspaces.expire()
    filled(workspaces)
    workspaces.trash(UID, KEY, DOCUMENT)
    clock.advance(99.0)
    workspaces.expire()
    assert [item.uid for item in workspaces.trashed()] == [UID]
    clock.advance(1.0)
    workspaces.expire()
    assert left_in(tmp_path / "trash") == []


def test_a_record_that_cannot_be_read_expires_by_its_folders_time(
    workspaces: WorkspaceFolder, clock: FakeClock, tmp_path: Path
) -> None:
    filled(workspaces)
    workspaces.trash(UID, KEY, DOCUMENT)
    (tmp_path / "trash" / UID / "trashed.json").unlink()
    os.utime(tmp_path / "trash" / UID, (clock.now(), clock.now()))
    workspaces.expire()
    assert left_in(tmp_path / "trash") == [UID]
    clock.advance(100.0)
    workspaces.expire()
    assert left_in(tmp_path / "trash") == []


def test_what_an_interrupted_deletion_left_is_finished(workspaces: WorkspaceFolder, tmp_path: Path) -> None:
    path = filled(workspaces)
    path.rename(tmp_path / "trash" / ".erasing-1")
    workspaces.expire()
    assert left_in(tmp_path / "trash") == []


def test_what_is_not_ours_in_the_trash_is_left_alone(
    workspaces: WorkspaceFolder, clock: FakeClock, tmp_path: Path
) -> None:
    workspaces.ensure(UID, *ME)
    (tmp_path / "trash/notes").mkdir()
    clock.advance(1e9)
    workspaces.expire()
    assert left_in(tmp_path / "trash") == ["notes"]


def test_erasing_leaves_nothing_of_it_anywhere(workspaces: WorkspaceFolder, tmp_path: Path) -> None:
    filled(workspaces)
    workspaces.trash(UID, KEY, DOCUMENT)
    filled(workspaces)
    workspaces.erase(UID)
    workspaces.erase(UID)
    assert (left_in(tmp_path / "workspaces"), left_in(tmp_path / "trash")) == ([], [])


def test_emptiness_is_told(workspaces: WorkspaceFolder) -> None:
    assert workspaces.is_empty(UID)
    filled(workspaces)
    assert not workspaces.is_empty(UID)


def test_a_state_folder_that_is_none_is_an_error_that_says_so(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "file").write_text("")
    workspaces = WorkspaceFolder(tmp_path / "file", clock)
    with pytest.raises(StateError, match="cannot make the workspace"):
        workspaces.ensure(UID, *ME)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for seven files."""
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=8", "none", str(mount)], check=True)
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def fill_up(folder: Path) -> None:
    with pytest.raises(OSError, match="No space left"):  # noqa: PT012 - which of the writes is open
        for number in range(20):
            (folder / str(number)).touch()


@pytest.mark.root
def test_a_full_disk_is_told_apart_from_other_faults(small_disk: Path, clock: FakeClock) -> None:
    workspaces = WorkspaceFolder(small_disk, clock)
    fill_up(small_disk)
    with pytest.raises(DiskFullError, match="free space"):
        workspaces.ensure(UID, *ME)


@pytest.mark.root
def test_a_workspace_can_be_erased_on_a_full_disk(small_disk: Path, clock: FakeClock) -> None:
    workspaces = WorkspaceFolder(small_disk, clock)
    path = Path(workspaces.ensure(UID, *ME))
    fill_up(path)
    with pytest.raises(DiskFullError):
        workspaces.trash(UID, KEY, DOCUMENT)
    assert path.exists()
    workspaces.erase(UID)
    workspaces.ensure(UID, *ME)


@pytest.mark.root
def test_one_folder_that_cannot_be_deleted_does_not_keep_the_others(
    workspaces: WorkspaceFolder, clock: FakeClock, tmp_path: Path
) -> None:
    """Something is mounted in it, from this very file system: deleting through that would leave the tree."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("precious")
    stuck, other = str(uuid4()), str(uuid4())
    for uid in (stuck, other):
        (filled(workspaces, uid) / "below").mkdir()
        workspaces.trash(uid, KEY, DOCUMENT)
    below = tmp_path / "trash" / stuck / "workspace/below"
    subprocess.run(["mount", "--bind", str(tmp_path / "outside"), str(below)], check=True)
    try:
        clock.advance(100.0)
        with pytest.raises(StateError, match=r"below is a mount point: unmount it"):
            workspaces.expire()
        assert left_in(tmp_path / "trash") == [stuck]
        assert (tmp_path / "outside/file").exists()
    finally:
        subprocess.run(["umount", str(below)], check=True)
    workspaces.expire()
    assert left_in(tmp_path / "trash") == []


@pytest.mark.root
@pytest.mark.parametrize("name", ["st ate", "st\tate", "st\\ate", "st\nate", "stäte", "link"])
def test_a_mount_is_seen_whatever_the_path_of_the_state_folder(tmp_path: Path, clock: FakeClock, name: str) -> None:
    state = tmp_path / name
    if name == "link":
        (tmp_path / "behind").mkdir()
        state.symlink_to("behind")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("precious")
    workspaces = WorkspaceFolder(state, clock)
    below = filled(workspaces) / "below"
    below.mkdir()
    subprocess.run(["mount", "--bind", str(tmp_path / "outside"), str(below)], check=True)
    try:
        with pytest.raises(StateError, match="is a mount point: unmount it"):
            workspaces.erase(UID)
        assert (tmp_path / "outside/file").exists()
    finally:
        subprocess.run(["umount", str(below)], check=True)
    workspaces.erase(UID)
    assert (tmp_path / "outside/file").exists()
