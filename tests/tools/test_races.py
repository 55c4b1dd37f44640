"""Code in the sandbox swaps files, folders and links as fast as it can while a tool works on them."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.model.errors import ToolError
from tests.tools.conftest import Scene
from tests.tools.sandboxes import hostile

# Exchanges two names in one step, so that each is always there: the folder or file, and what takes its place.
SWAP = """
libc = ctypes.CDLL(None, use_errno=True)
one, other = (os.fsencode(path) for path in sys.argv[1:])
def swap():
    if libc.renameat2(-100, one, -100, other, 2): raise OSError(ctypes.get_errno(), "renameat2")
swap(); swap()
print("begun", flush=True)
while True: swap()
"""
# The folder goes out of the workspace and comes back.
MOVE = """
one, other = sys.argv[1:]
print("begun", flush=True)
while True:
    os.rename(one, other)
    os.rename(other, one)
"""
SECONDS = 20.0


def outcomes(attempt: Callable[[], object], enough: Callable[[Counter[str]], bool]) -> Counter[str]:
    """How often it succeeded and was refused, until that is enough of both; a refusal never takes long."""
    counts: Counter[str] = Counter()
    deadline = time.monotonic() + SECONDS
    while not enough(counts):
        began = time.monotonic()
        assert began < deadline, f"no race was met: {counts}"
        try:
            counts[str(attempt())] += 1
        except ToolError:
            counts["refused"] += 1
        assert time.monotonic() - began < 5
    return counts


def both(counts: Counter[str]) -> bool:
    return counts["refused"] >= 300 and counts.total() - counts["refused"] >= 300


def test_a_folder_swapped_for_a_link_out_is_never_read_through(scene: Scene) -> None:
    scene.put("folder/secret", "inside")
    (scene.workspace / "link").symlink_to(scene.outside)
    with hostile(SWAP, scene.workspace, "folder", "link"):
        counts = outcomes(lambda: scene.files.read("folder/secret").decode(), both)
    assert set(counts) == {"inside", "refused"}


def test_a_file_swapped_for_a_link_out_is_never_read_through(scene: Scene) -> None:
    scene.put("secret", "inside")
    (scene.workspace / "link").symlink_to(scene.outside / "secret")
    with hostile(SWAP, scene.workspace, "secret", "link"):
        counts = outcomes(lambda: scene.files.read("secret").decode(), both)
    assert set(counts) == {"inside", "refused"}


def test_a_file_swapped_for_a_fifo_never_blocks(scene: Scene) -> None:
    scene.put("secret", "inside")
    os.mkfifo(scene.workspace / "fifo", 0o666)
    scene.own()
    with hostile(SWAP, scene.workspace, "secret", "fifo"):
        counts = outcomes(lambda: scene.files.read("secret").decode(), both)
    assert set(counts) == {"inside", "refused"}


@pytest.mark.parametrize("path", ["folder/new", "folder/made/new"])
def test_nothing_is_written_through_a_folder_swapped_for_a_link_out(scene: Scene, path: str) -> None:
    scene.put("folder/old")
    (scene.workspace / "link").symlink_to(scene.outside)
    with hostile(SWAP, scene.workspace, "folder", "link"):
        outcomes(lambda: scene.files.write(path, b"x"), both)
    assert [entry.name for entry in scene.outside.iterdir()] == ["secret"]


def test_nothing_is_written_through_a_file_swapped_for_a_link_out(scene: Scene) -> None:
    scene.put("secret", "inside")
    (scene.workspace / "link").symlink_to(scene.outside / "secret")
    with hostile(SWAP, scene.workspace, "secret", "link") as process:
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline and process.poll() is None:
            try:
                scene.files.write("secret", b"x")
            except ToolError:
                continue
    assert (scene.outside / "secret").read_text() == "OUTSIDE"


def test_a_folder_swapped_for_a_link_out_is_never_listed_nor_searched_through(scene: Scene) -> None:
    scene.put("folder/secret", "inside")
    scene.put("folder/inside", "inside")
    (scene.workspace / "link").symlink_to(scene.outside)
    with hostile(SWAP, scene.workspace, "folder", "link"):
        counts = outcomes(lambda: scene.files.names("folder"), both)
        assert set(counts) == {"['inside', 'secret']", "refused"}
        sandbox = scene.sandbox
        found = outcomes(
            lambda: scene.tools.run("codebase_search", sandbox, pattern="OUTSIDE|inside"),
            lambda counts: counts.total() > 1000,
        )
    assert all("OUTSIDE" not in result for result in found)


def test_a_link_up_in_a_folder_that_is_moved_out_leads_nowhere_outside(scene: Scene) -> None:
    elsewhere = scene.outside / "elsewhere"
    elsewhere.mkdir(mode=0o777)
    elsewhere.chmod(0o777)
    (elsewhere / "found").write_text("OUTSIDE")
    scene.put("found", "inside")
    scene.put("folder/below/x")
    (scene.workspace / "folder/below/up").symlink_to("../../found")
    scene.own()
    with hostile(MOVE, scene.workspace, "folder", str(elsewhere / "folder")):
        counts = outcomes(lambda: scene.files.read("folder/below/up").decode(), both)
    assert set(counts) == {"inside", "refused"}


def test_no_descriptor_is_left_open(scene: Scene) -> None:
    scene.put("folder/secret", "inside")
    (scene.workspace / "link").symlink_to(scene.outside)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with hostile(SWAP, scene.workspace, "folder", "link"):
        outcomes(lambda: scene.files.read("folder/secret"), both)
        outcomes(lambda: scene.files.write("folder/new", b"x"), both)
        outcomes(lambda: scene.files.names("folder/none"), lambda counts: counts["refused"] > 100)
        scene.tools.run("codebase_search", scene.sandbox, pattern="inside")
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
