"""What a lock names is downloaded once, kept as a tree, checked whenever it is taken, and never changed."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from controller.model.errors import EnvironmentFailedError
from controller.runtime.packages.cache import PackageCache
from controller.runtime.packages.lock import Lock
from controller.runtime.packages.scripts import run_by, with_python
from controller.runtime.packages.store import NEW, TreeStore
from controller.runtime.packages.target import PythonTarget
from controller.runtime.packages.uv import UvRunner
from tests.support.wheels import wheel

TARGET = PythonTarget("3.12.3", "x86_64-manylinux_2_36")
MODULE = Path("lib/greeting.py")


@pytest.fixture
def lock(cache: PackageCache, wheels: Path, job: Path) -> Lock:
    return cache.lock(["greeting"], TARGET, job)


def test_a_tree_has_modules_scripts_and_data_apart(cache: PackageCache, wheels: Path, job: Path) -> None:
    shared = {"pictures-1.0.data/data/share/pictures/a.txt": "a"}
    wheel(wheels, "pictures", "1.0", files=shared)
    tree = cache.tree(cache.lock(["pictures"], TARGET, job), job)
    assert (tree / "lib" / "pictures.py").is_file()
    assert (tree / "scripts" / "pictures").is_file()
    assert (tree / "data" / "share" / "pictures" / "a.txt").read_text() == "a"


def test_a_tree_is_had_without_the_index_once_it_was_downloaded(
    cache: PackageCache, lock: Lock, wheels: Path, job: Path
) -> None:
    first = cache.tree(lock, job)
    shutil.rmtree(wheels)
    assert cache.tree(lock, job) == first


def test_what_nothing_is_to_be_installed_for_is_an_empty_tree(cache: PackageCache, wheels: Path, job: Path) -> None:
    lock = cache.lock(["greeting; sys_platform == 'win32'"], TARGET, job)
    assert lock.packages == ()
    assert list((cache.tree(lock, job) / "lib").iterdir()) == []


@pytest.mark.parametrize("how", ["changed", "added", "deleted", "mode"])
def test_a_file_that_was_tampered_with_is_noticed_and_had_anew(
    cache: PackageCache, lock: Lock, job: Path, how: str
) -> None:
    tree = cache.tree(lock, job)
    original = (tree / MODULE).read_text()
    if how == "changed":
        (tree / MODULE).write_text(original.replace("2.0", "6.6"))  # uv's own copy too: it is the same inode
    elif how == "added":
        (tree / "lib" / "evil.pth").write_text("import os\n")
    elif how == "deleted":
        (tree / MODULE).unlink()
    else:
        (tree / MODULE).chmod(0o666)
    again = cache.tree(lock, job)
    assert (again / MODULE).read_text() == original
    assert not (again / "lib" / "evil.pth").exists()
    assert (again / MODULE).stat().st_mode & 0o777 == 0o644


def test_a_tampered_file_that_cannot_be_had_anew_is_never_used(
    cache: PackageCache, lock: Lock, wheels: Path, job: Path
) -> None:
    tree = cache.tree(lock, job)
    (tree / MODULE).write_text("import os\n")
    shutil.rmtree(wheels)
    with pytest.raises(EnvironmentFailedError, match="what is locked cannot be had"):
        cache.tree(lock, job)
    assert not tree.exists()


def test_another_file_under_a_locked_version_is_refused(lock: Lock, wheels: Path, job: Path, tmp_path: Path) -> None:
    wheel(wheels, "greeting", "2.0", files={"evil.py": "import os\n"})
    fresh = PackageCache(tmp_path / "fresh", UvRunner(tmp_path / "fresh-uv", timeout=60))
    with pytest.raises(EnvironmentFailedError, match=r"(?s)[Hh]ash.*image build --upgrade"):
        fresh.tree(lock, job)


def test_those_who_want_the_same_share_one_download(cache: PackageCache, lock: Lock, tmp_path: Path) -> None:
    made: list[Path] = []
    store = TreeStore(tmp_path / "trees")

    def fill(content: Path) -> None:
        made.append(content)
        (content / "file").write_text("x")

    threads = [threading.Thread(target=store.have, args=("same", fill)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_what_another_process_made_meanwhile_is_taken(tmp_path: Path) -> None:
    mine, theirs = TreeStore(tmp_path / "trees"), TreeStore(tmp_path / "trees")

    def fill(content: Path) -> None:
        (content / "file").write_text("x")

    def overtaken(content: Path) -> None:
        fill(content)
        theirs.have("same", fill)

    assert (mine.have("same", overtaken) / "file").read_text() == "x"
    assert [entry.name for entry in (tmp_path / "trees").iterdir()] == ["same"]


def test_a_tree_half_made_by_a_killed_process_is_no_tree_and_goes_in_time(tmp_path: Path) -> None:
    store = TreeStore(tmp_path)
    half = tmp_path / f"{NEW}1" / "content"
    half.mkdir(parents=True)
    store.discard_forgotten()
    assert half.exists(), "its maker may still be at it"
    os.utime(half.parent, (0, 0))
    store.discard_forgotten()
    assert not half.exists()


def test_the_folder_of_a_job_that_was_killed_goes_in_time(cache: PackageCache) -> None:
    left, under_way = cache.work / "left", cache.work / "under-way"
    for folder in (left, under_way):
        folder.mkdir(parents=True)
    os.utime(left, (0, 0))
    cache.discard_forgotten()
    assert list(cache.work.iterdir()) == [under_way]


def test_a_tree_that_nobody_asked_for_in_time_goes(cache: PackageCache, lock: Lock, job: Path) -> None:
    tree = cache.tree(lock, job)
    assert cache.discard_unused(3600) == 0
    os.utime(tree.parent, (0, 0))
    assert cache.discard_unused(3600) == 1
    assert cache.tree(lock, job) == tree


def test_scripts_are_given_another_python_and_others_left_alone(
    cache: PackageCache, lock: Lock, uv: UvRunner, job: Path
) -> None:
    script = (cache.tree(lock, job) / "scripts" / "greeting").read_bytes()
    changed = with_python(script, run_by("/usr/local/bin/python3"))
    assert changed.startswith(b"#!/usr/local/bin/python3\n")
    assert changed.splitlines()[1:] == script.splitlines()[1:]
    assert with_python(b"#!/bin/sh\necho\n", b"#!/x\n") == b"#!/bin/sh\necho\n"
    assert with_python(b"\x7fELF", b"#!/x\n") == b"\x7fELF"
    assert run_by("/with a space/python").startswith(b"#!/bin/sh\n'''exec' '/with a space/python'")
