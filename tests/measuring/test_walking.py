"""A walk that goes on, and stays inside, while folders are moved out from under it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.runtime import tree
from controller.runtime.portions import Below
from controller.runtime.tree import Steps, open_folder, walk
from tests.measuring.machine import open_files

DEPTH = 12


class Recorder:
    """Enters every folder, and does something once it has reached the one named `bottom`."""

    def __init__(self, at_the_bottom: Callable[[], object]) -> None:
        self.visited: list[str] = []
        self.left: list[str] = []
        self._at_the_bottom = at_the_bottom

    def enter(self, parent: int, name: str) -> int | None:
        self.visited.append(name)
        if name == "bottom":
            self._at_the_bottom()
        return open_folder(name, parent)

    def visit(self, folder: int, below: Below) -> Steps:
        yield
        # Last in the list is first to be entered: every level goes down before it goes aside.
        for name in sorted(os.listdir(folder), key=lambda name: name.startswith(("level", "bottom"))):
            below.add(name)

    def leave(self, parent: int, name: str) -> None:
        assert name in os.listdir(parent) or name in ("level3", "level8"), "only of what was moved has it no name"
        self.left.append(name)


@pytest.fixture
def nest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """level1/level2/…/bottom with a folder `side<n>` in each level, walked with two open levels."""
    monkeypatch.setattr(tree, "_OPEN_LEVELS", 2)
    folder = tmp_path / "nest"
    for level in range(1, DEPTH + 1):
        (folder / f"side{level}").mkdir(parents=True)
        folder = folder / f"level{level}"
    (folder / "bottom").mkdir(parents=True)
    return tmp_path / "nest"


def level(nest: Path, number: int) -> Path:
    return nest.joinpath(*(f"level{n}" for n in range(1, number + 1)))


def run(nest: Path, at_the_bottom: Callable[[], object]) -> Recorder:
    recorder = Recorder(at_the_bottom)
    root = os.open(nest, os.O_RDONLY)
    before = open_files()
    for _ in walk(root, recorder):
        assert open_files() <= before + 6
    assert open_files() == before
    os.close(root)
    return recorder


def sides(recorder: Recorder) -> list[int]:
    return sorted(int(name.removeprefix("side")) for name in recorder.visited if name.startswith("side"))


def test_a_still_tree_is_walked_whole_and_left_from_the_bottom_up(nest: Path) -> None:
    recorder = run(nest, lambda: None)
    assert sides(recorder) == list(range(1, DEPTH + 1))
    levels = [name for name in recorder.left if name.startswith("level")]
    assert levels == [f"level{number}" for number in range(DEPTH, 0, -1)]


def test_a_folder_moved_elsewhere_does_not_lead_the_walk_elsewhere(nest: Path, tmp_path: Path) -> None:
    (tmp_path / "outside/side99").mkdir(parents=True)
    recorder = run(nest, lambda: level(nest, 8).rename(tmp_path / "outside/level8"))
    assert sides(recorder) == list(range(1, DEPTH + 1))


def test_where_the_way_back_is_lost_the_walk_goes_on_above_it(nest: Path, tmp_path: Path) -> None:
    def move() -> None:
        level(nest, 8).rename(tmp_path / "elsewhere8")
        level(nest, 3).rename(tmp_path / "elsewhere3")

    recorder = run(nest, move)
    assert sides(recorder) == [1, 2, 3, *range(9, DEPTH + 1)]


def test_another_folder_under_a_known_name_is_not_taken_for_it(nest: Path, tmp_path: Path) -> None:
    def swap() -> None:
        level(nest, 8).rename(tmp_path / "elsewhere8")
        level(nest, 3).rename(tmp_path / "elsewhere3")
        (level(nest, 7) / "side99").mkdir(parents=True)

    assert 99 not in sides(run(nest, swap))


def test_a_walk_given_up_midway_closes_what_it_opened(nest: Path) -> None:
    root = os.open(nest, os.O_RDONLY)
    before = open_files()
    steps = walk(root, Recorder(lambda: None))
    for _ in range(6):
        next(steps)
    steps.close()
    assert open_files() == before
    os.close(root)


def test_of_very_many_folders_only_a_portion_is_remembered_and_all_are_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "_MOST_NAMES", 40)
    monkeypatch.setattr(tree, "_FEWEST_NAMES", 10)
    names = {f"{number}" for number in range(400)}
    for name in names:
        (tmp_path / "wide" / name / "deep").mkdir(parents=True)
    most = 0

    class Watching(Recorder):
        def visit(self, folder: int, below: Below) -> Steps:
            nonlocal most
            for name in os.listdir(folder):
                below.add(name)
                most = max(most, len(below))
            yield

    recorder = Watching(lambda: None)
    root = os.open(tmp_path / "wide", os.O_RDONLY)
    for _ in walk(root, recorder):
        pass
    os.close(root)
    assert sorted(recorder.visited) == sorted([*names, *["deep"] * 400])
    assert most == 40
