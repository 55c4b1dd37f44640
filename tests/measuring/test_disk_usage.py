"""What a sandbox has on the disk, however it is arranged."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.model.clock import SystemClock
from controller.runtime import disk as disk_module
from controller.runtime.disk import DiskWalker
from controller.runtime.tree import erase_tree, open_folder
from tests.measuring.machine import NOBODY, as_user, open_files, wait_until
from tests.measuring.sleeping_clock import SleepingClock

KIB = 1024
Make = Callable[[SleepingClock | SystemClock], DiskWalker]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes walkers that are closed after the test."""
    made: list[DiskWalker] = []

    def walker(clock: SleepingClock | SystemClock) -> DiskWalker:
        made.append(DiskWalker(clock))
        return made[-1]

    yield walker
    for walker_ in made:
        walker_.close()


def measured(walker: DiskWalker, *paths: Path) -> int:
    """The first figure of some folders."""
    walker.watch("x", tuple(str(path) for path in paths))
    return figure(walker, "x")


def figure(walker: DiskWalker, id: str) -> int:
    wait_until(lambda: walker.usage(id) is not None, f"{id} is measured")
    usage = walker.usage(id)
    assert usage is not None
    return usage.bytes


def du(*paths: Path) -> int:
    output = subprocess.check_output(["du", "-s", "-x", "-c", "--block-size=1", *map(str, paths)], text=True)
    return int(output.splitlines()[-1].split()[0])


def fill(path: Path, size: int = 64 * KIB) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    with path.open("rb") as file:
        os.fsync(file.fileno())  # blocks are counted once they are allocated
    return path


def deep(base: Path, levels: int) -> None:
    """A nest far deeper than a path may be long."""
    folder = os.open(base, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(os.open("leaf", os.O_WRONLY | os.O_CREAT, dir_fd=folder))
    os.close(folder)


def test_a_tree_is_measured_as_du_does(make: Make, tmp_path: Path) -> None:
    for number in range(20):
        fill(tmp_path / f"a/{number % 4}/{number}", number * KIB)
    assert measured(make(SystemClock()), tmp_path) == du(tmp_path)


def test_several_folders_of_one_sandbox_are_measured_together(make: Make, tmp_path: Path) -> None:
    fill(tmp_path / "a/file")
    fill(tmp_path / "b/file")
    os.link(tmp_path / "a/file", tmp_path / "b/link")
    assert measured(make(SystemClock()), tmp_path / "a", tmp_path / "b") == du(tmp_path / "a", tmp_path / "b")


def test_hard_links_count_once(make: Make, tmp_path: Path) -> None:
    fill(tmp_path / "file")
    for number in range(5):
        os.link(tmp_path / "file", tmp_path / f"link{number}")
    assert measured(make(SystemClock()), tmp_path) == du(tmp_path)


def test_past_what_is_remembered_links_count_each(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module, "_MOST_LINKED", 0)
    fill(tmp_path / "file")
    os.link(tmp_path / "file", tmp_path / "link")
    assert measured(make(SystemClock()), tmp_path) == du(tmp_path) + 64 * KIB


def test_a_walk_that_fails_in_a_way_nobody_thought_of_holds_up_no_other(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: str, parent: int | None = None) -> int | None:
        if path.endswith("bad"):
            raise ValueError("a bug")
        return open_folder(path, parent)

    monkeypatch.setattr(disk_module, "open_folder", fails)
    walker = make(SystemClock())
    walker.watch("bad", (str(tmp_path / "bad"),))
    assert measured(walker, tmp_path) == du(tmp_path)
    assert walker.usage("bad") is None


def test_holes_take_no_space(make: Make, tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert measured(make(SystemClock()), tmp_path) < KIB * KIB


def test_links_are_not_followed(make: Make, tmp_path: Path) -> None:
    fill(tmp_path / "outside/big", KIB * KIB)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "file").symlink_to(tmp_path / "outside/big")
    (inside / "folder").symlink_to(tmp_path / "outside")
    (inside / "round").symlink_to(".")
    assert measured(make(SystemClock()), inside) == du(inside)
    walker = make(SystemClock())
    assert measured(walker, inside / "folder") == 0


def test_pipes_and_sockets_are_not_opened(make: Make, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        assert measured(make(SystemClock()), tmp_path) == du(tmp_path)


def test_a_nest_deeper_than_any_path_is_measured(make: Make, tmp_path: Path) -> None:
    deep(tmp_path, 3000)
    empty = tmp_path.stat().st_blocks * 512
    before = open_files()
    assert measured(make(SystemClock()), tmp_path) >= 3000 * empty
    assert open_files() == before
    erase_tree(str(tmp_path / "d"))  # too deep for pytest


def test_a_folder_that_is_not_there_counts_nothing(make: Make, tmp_path: Path) -> None:
    assert measured(make(SystemClock()), tmp_path / "none") == 0


@pytest.mark.root
def test_another_device_is_not_entered(make: Make, tmp_path: Path) -> None:
    (tmp_path / "mount").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "none", str(tmp_path / "mount")], check=True)
    try:
        fill(tmp_path / "mount/file")
        assert measured(make(SystemClock()), tmp_path) == du(tmp_path)
    finally:
        subprocess.run(["umount", str(tmp_path / "mount")], check=True)


@pytest.mark.root
def test_what_may_not_be_read_is_passed_by(tmp_path: Path) -> None:
    """A controller that is not root measures what it may; folders may be closed or only listable."""
    tmp_path.chmod(0o755)
    for mode in (0o000, 0o400, 0o300, 0o755):
        fill(tmp_path / f"mode{mode:o}/below/file")
        (tmp_path / f"mode{mode:o}").chmod(mode)
    for folder in tmp_path.parents:
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(0o711)

    def measures_the_open_one() -> bool:
        walker = DiskWalker(SystemClock())
        size = measured(walker, tmp_path)
        walker.close()
        return size >= 64 * KIB

    assert as_user(NOBODY, measures_the_open_one)


def test_a_tree_that_changes_all_the_time_is_measured_nevertheless(make: Make, tmp_path: Path) -> None:
    """Deep folders are moved out from under the walk, which may neither fail nor leave the tree."""
    fill(tmp_path / "steady", 256 * KIB)
    deep(tmp_path, 80)
    middle = tmp_path / "/".join(["d"] * 10)
    stop = threading.Event()

    def stir() -> None:
        while not stop.is_set():
            (middle / "d").rename(tmp_path / "moved")
            (tmp_path / "moved").rename(middle / "d")

    thread = threading.Thread(target=stir)
    thread.start()
    try:
        walker = make(SystemClock())
        for number in range(5):
            walker.watch(str(number), (str(tmp_path),))
            assert figure(walker, str(number)) >= 256 * KIB
    finally:
        stop.set()
        thread.join()


def test_a_sandbox_is_measured_at_once_and_then_every_ten_seconds(make: Make, tmp_path: Path) -> None:
    clock = SleepingClock()
    walker = make(clock)
    before = measured(walker, tmp_path)
    assert clock.sleeps_for() == pytest.approx(10.0)
    fill(tmp_path / "file")
    clock.advance(9.9)
    assert clock.sleeps_for() == pytest.approx(0.1)
    clock.advance(0.1)
    wait_until(lambda: figure(walker, "x") > before, "it is measured again")


def test_a_walk_takes_at_most_a_fiftieth_of_the_time(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_module, "REST_FACTOR", 0)
    clock = SleepingClock(step=1.0)
    walker = make(clock)
    measured(walker, tmp_path)
    slept = clock.sleeps_for()
    usage = walker.usage("x")
    assert usage is not None
    assert usage.seconds >= 1.0
    assert slept is not None
    assert slept > 50 * usage.seconds - 10 * 1.0


def test_all_walks_together_leave_most_of_a_core(make: Make, tmp_path: Path) -> None:
    clock = SleepingClock(step=1.0)
    walker = make(clock)
    walker.watch("x", (str(tmp_path),))
    walker.watch("y", (str(tmp_path),))
    slept = clock.sleeps_for()
    usage = walker.usage("x") or walker.usage("y")
    assert usage is not None
    assert slept is not None
    assert slept >= 4 * usage.seconds - 1.0


def test_a_huge_tree_does_not_hold_up_the_others(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module, "SLICE", 0.0)
    monkeypatch.setattr(disk_module, "REST_FACTOR", 0)
    for number in range(300):
        (tmp_path / f"huge/{number}").mkdir(parents=True)
    (tmp_path / "small").mkdir()
    walker = make(SystemClock())
    order: list[str] = []
    schedule = walker._schedule

    def recorded(watched: disk_module._Watched, due: float) -> None:
        if watched.usage is not None and watched.id not in order:
            order.append(watched.id)
        schedule(watched, due)

    both, walk_until = threading.Event(), walker._walk_until

    def begun(watched: disk_module._Watched, end: float) -> bool:
        assert both.wait(10)
        return walk_until(watched, end)

    monkeypatch.setattr(walker, "_schedule", recorded)
    monkeypatch.setattr(walker, "_walk_until", begun)
    walker.watch("huge", (str(tmp_path / "huge"),))
    walker.watch("small", (str(tmp_path / "small"),))
    both.set()
    assert figure(walker, "huge") == du(tmp_path / "huge")
    wait_until(lambda: len(order) == 2, "both are measured")
    assert order == ["small", "huge"]


def test_one_that_is_forgotten_has_no_figure(make: Make, tmp_path: Path) -> None:
    walker = make(SystemClock())
    measured(walker, tmp_path)
    walker.forget("x")
    walker.forget("x")
    assert walker.usage("x") is None


def test_watching_other_folders_starts_afresh_and_the_same_ones_does_not(make: Make, tmp_path: Path) -> None:
    walker = make(SleepingClock())
    before = measured(walker, tmp_path)
    usage = walker.usage("x")
    walker.watch("x", (str(tmp_path),))
    assert walker.usage("x") is usage
    fill(tmp_path / "more/file")
    walker.watch("x", (str(tmp_path), str(tmp_path / "none")))
    assert figure(walker, "x") > before


def test_closing_ends_the_thread_and_closes_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module, "SLICE", 0.0)
    before = (threading.active_count(), open_files())
    for number in range(50):
        (tmp_path / str(number)).mkdir()
    walker = DiskWalker(SystemClock())
    for number in range(20):
        walker.watch(str(number), (str(tmp_path),))
    walker.close()
    walker.watch("late", (str(tmp_path),))
    assert (threading.active_count(), open_files()) == before
