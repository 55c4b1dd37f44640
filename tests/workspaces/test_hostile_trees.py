"""Trees made by somebody who wants us to delete, give away or lose something else."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from controller.runtime import ownership
from controller.runtime import tree as tree_module
from controller.runtime.ownership import hand_over
from controller.runtime.tree import erase_tree
from tests.measuring.machine import NOBODY, as_user

FORMER, OWNER, OTHER = 12345, 23456, 34567


def hostile(base: Path, outside: Path) -> Path:
    """Everything at once: closed folders, links of both kinds to a folder and a file outside, a pipe, odd names."""
    tree = base / "tree"
    for mode in (0o000, 0o100, 0o200, 0o400, 0o500, 0o777):
        folder = tree / f"mode{mode:o}"
        (folder / "below").mkdir(parents=True)
        (folder / "below/file").write_text("x")
        (folder / "below/file").chmod(0)
        (folder / "below").chmod(mode)
        folder.chmod(mode)
    (tree / "to-folder").symlink_to(outside)
    (tree / "to-file").symlink_to(outside / "file")
    (tree / "to-nowhere").symlink_to("/nonexistent")
    (tree / "to-itself").symlink_to("to-itself")
    os.link(outside / "file", tree / "hard-link")
    os.mkfifo(tree / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tree / "socket"))
    for name in (b"\xff\xfe", b"-rf", b"new\nline", b"..."):
        Path(os.fsdecode(os.fsencode(tree) + b"/" + name)).write_text("x")
    tree.chmod(0)
    return tree


def outside_of(base: Path) -> Path:
    outside = base / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    return outside


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def dig(base: Path, levels: int) -> None:
    """A nest far deeper than a path may be long, every folder of it closed."""
    folders = [os.open(base, os.O_RDONLY)]
    for _ in range(levels):
        os.mkdir("d", 0o700, dir_fd=folders[-1])
        folders.append(os.open("d", os.O_RDONLY, dir_fd=folders[-1]))
        if len(folders) > 2:
            os.close(folders.pop(0))
    for folder in folders:
        os.close(folder)


def test_a_hostile_tree_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    outside = outside_of(tmp_path)
    erase_tree(str(hostile(tmp_path, outside)))
    assert names(tmp_path) == ["outside"]
    assert (outside / "file").read_text() == "precious"


@pytest.mark.root
def test_its_owner_can_delete_it_without_being_root(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and folder.stat().st_mode & 0o011 == 0:
            folder.chmod(0o711)
    tmp_path.chmod(0o777)

    def deletes() -> bool:
        outside = outside_of(tmp_path)
        erase_tree(str(hostile(tmp_path, outside)))
        return names(tmp_path) == ["outside"] and (outside / "file").read_text() == "precious"

    assert as_user(NOBODY, deletes)


@pytest.mark.root
def test_what_is_not_ours_to_delete_is_said_and_the_rest_is_gone(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and folder.stat().st_mode & 0o011 == 0:
            folder.chmod(0o711)
    tree = tmp_path / "tree"
    (tree / "roots").mkdir(parents=True)
    (tree / "roots/file").write_text("x")
    (tree / "roots").chmod(0o700)
    (tree / "roots-empty").mkdir(0o700)
    (tree / "mine").mkdir()
    (tree / "mine/file").write_text("x")
    for path in (tmp_path, tree, tree / "mine"):
        os.chown(path, NOBODY, NOBODY)

    def says_so() -> bool:
        try:
            erase_tree(str(tree))
        except OSError as exc:
            return exc.filename == "roots" and names(tree) == ["roots"]
        return False

    assert as_user(NOBODY, says_so)


def test_a_nest_deeper_than_any_path_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    dig(tmp_path / "tree", 5000)
    erase_tree(str(tmp_path / "tree"))
    assert names(tmp_path) == []


def test_a_link_in_place_of_the_tree_is_all_that_goes(tmp_path: Path) -> None:
    outside = outside_of(tmp_path)
    (tmp_path / "tree").symlink_to(outside)
    erase_tree(str(tmp_path / "tree"))
    assert names(tmp_path) == ["outside"]
    assert (outside / "file").exists()


def test_a_tree_that_is_gone_is_deleted_already(tmp_path: Path) -> None:
    erase_tree(str(tmp_path / "none"))


@pytest.mark.root
def test_a_mounted_device_in_the_tree_is_not_emptied(tmp_path: Path) -> None:
    mount = tmp_path / "tree/mount"
    mount.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "none", str(mount)], check=True)
    try:
        (mount / "file").write_text("precious")
        with pytest.raises(OSError, match="not empty"):
            erase_tree(str(tmp_path / "tree"))
        assert (mount / "file").read_text() == "precious"
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_folder_with_very_many_folders_is_deleted_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_module, "_MOST_NAMES", 40)
    monkeypatch.setattr(tree_module, "_FEWEST_NAMES", 40)
    for number in range(500):
        (tmp_path / "wide" / f"{number}" / "deep").mkdir(parents=True)
    erase_tree(str(tmp_path / "wide"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.root
class TestHandingOver:
    """A folder changes hands, with what belongs to its former owner."""

    def owners(self, tree: Path) -> dict[str, int]:
        return {path.name: path.lstat().st_uid for path in tree.rglob("*")}

    def made(self, tmp_path: Path, former: int = FORMER) -> Path:
        tree = tmp_path / "tree"
        (tree / "below").mkdir(parents=True)
        (tree / "below/file").write_text("x")
        (tree / "link").symlink_to(outside_of(tmp_path) / "file")
        for path in (tree, *tree.rglob("*")):
            os.chown(path, former, former, follow_symlinks=False)
        return tree

    def test_all_of_it_goes_to_the_new_owner(self, tmp_path: Path) -> None:
        tree = self.made(tmp_path)
        hand_over(str(tree), OWNER, OWNER)
        assert tree.stat().st_uid == tree.stat().st_gid == OWNER
        assert self.owners(tree) == {"below": OWNER, "file": OWNER, "link": OWNER}

    def test_what_a_symlink_points_to_stays_whose_it_is(self, tmp_path: Path) -> None:
        os.chown(outside_of(tmp_path / ".") / "file", FORMER, FORMER)
        (tmp_path / "outside/file").rename(tmp_path / "kept")
        (tmp_path / "outside").rmdir()
        tree = self.made(tmp_path)
        (tree / "other").symlink_to(tmp_path / "kept")
        os.chown(tree / "other", FORMER, FORMER, follow_symlinks=False)
        hand_over(str(tree), OWNER, OWNER)
        assert (tmp_path / "kept").stat().st_uid == FORMER

    def test_what_belongs_to_somebody_else_stays_theirs(self, tmp_path: Path) -> None:
        tree = self.made(tmp_path)
        os.chown(tree / "below/file", OTHER, OTHER)
        hand_over(str(tree), OWNER, OWNER)
        assert self.owners(tree) == {"below": OWNER, "file": OTHER, "link": OWNER}

    def test_a_file_with_a_hard_link_outside_stays_whose_it_is(self, tmp_path: Path) -> None:
        """The former owner may be a user of the machine, and the link made to win a file of theirs."""
        tree = self.made(tmp_path)
        os.chown(tmp_path / "outside/file", FORMER, FORMER)
        os.link(tmp_path / "outside/file", tree / "below/stolen")
        os.link(tmp_path / "outside/file", tree / "below/stolen-twice")
        hand_over(str(tree), OWNER, OWNER)
        assert (tmp_path / "outside/file").stat().st_uid == FORMER
        assert self.owners(tree)["file"] == OWNER

    def test_a_file_whose_links_are_all_inside_changes_hands(self, tmp_path: Path) -> None:
        tree = self.made(tmp_path)
        os.link(tree / "below/file", tree / "second")
        hand_over(str(tree), OWNER, OWNER)
        assert self.owners(tree) == {"below": OWNER, "file": OWNER, "link": OWNER, "second": OWNER}

    def test_however_many_linked_files_there_are_each_is_given_or_kept_as_it_should(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ownership, "_MOST_LINKED", 10)
        tree = self.made(tmp_path)
        for number in range(60):
            inside, place = tree / f"inside{number}", tree if number % 2 else tmp_path
            inside.touch()
            os.chown(inside, FORMER, FORMER)
            os.link(inside, place / f"second{number}")
        hand_over(str(tree), OWNER, OWNER)
        owners = self.owners(tree)
        assert {owners[f"inside{number}"] for number in range(1, 60, 2)} == {OWNER}
        assert {owners[f"inside{number}"] for number in range(0, 60, 2)} == {FORMER}

    def test_a_folder_that_is_a_symlink_is_refused(self, tmp_path: Path) -> None:
        tree = self.made(tmp_path)
        (tmp_path / "alias").symlink_to(tree)
        with pytest.raises(OSError, match=r"Not a directory|symbolic"):
            hand_over(str(tmp_path / "alias"), OWNER, OWNER)

    def test_nothing_is_looked_at_while_the_owner_stays(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tree = self.made(tmp_path)
        os.chown(tree / "below", OTHER, OTHER)
        hand_over(str(tree), FORMER, FORMER)
        assert self.owners(tree)["below"] == OTHER

    def test_an_interrupted_call_is_made_good_by_the_next(self, tmp_path: Path) -> None:
        tree = self.made(tmp_path)
        os.chown(tree / "below", OWNER, OWNER)
        hand_over(str(tree), OWNER, OWNER)
        assert self.owners(tree) == {"below": OWNER, "file": OWNER, "link": OWNER}

    def test_a_mounted_device_is_not_given_away(self, tmp_path: Path) -> None:
        tree = self.made(tmp_path)
        mount = tree / "below"
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"uid={FORMER}", "none", str(mount)], check=True)
        try:
            (mount / "inside").write_text("x")
            os.chown(mount / "inside", FORMER, FORMER)
            hand_over(str(tree), OWNER, OWNER)
            assert self.owners(tree) == {"below": FORMER, "inside": FORMER, "link": OWNER}
        finally:
            subprocess.run(["umount", str(mount)], check=True)
