"""codebase_search: what it finds, and where it ends."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from controller.model.errors import ToolError
from controller.tools.search import Bounds, search
from tests.tools.conftest import Scene
from tests.tools.sandboxes import SANDBOX_UID


def found(scene: Scene, pattern: Any, path: str = ".", **bounds: Any) -> list[str]:
    return search(scene.files, pattern, path, Bounds(**bounds))


def test_matching_lines_are_told_by_path_and_number(scene: Scene) -> None:
    scene.put("b.py", "import os\n\ndef run(self):\n    pass\n")
    scene.put("a/deep/c.py", "x\r\ndef run(self): pass")
    scene.put("a/d.txt", "nothing")
    (scene.workspace / "link.py").symlink_to("b.py")
    expected = ["a/deep/c.py:2:def run(self): pass", "b.py:3:def run(self):"]
    assert scene.tools.run("codebase_search", scene.sandbox, pattern=r"def \w+\(self\)") == expected
    for path in ("a", "/workspace/a", f"{scene.workspace}/a", "a/deep/c.py"):
        assert found(scene, r"^def", path) == expected[:1]
    assert found(scene, "missing") == []


@pytest.mark.parametrize(
    ("pattern", "lines"),
    [
        ("foo", [2, 5]),
        ("(?i)FOO$", [2, 5]),
        ("^$", [4]),
        ("x*", [1, 2, 3, 4, 5]),
        ("^", [1, 2, 3, 4, 5]),
        ("$", [1, 2, 3, 4, 5]),
        (r"c\nd", []),
        ("[^q]+", [1, 2, 3, 5]),
        ("(ab)|(oo)", [1, 2, 5]),
        ("é", [3]),
        (r"x.$", [3]),
    ],
)
def test_each_line_is_matched_by_itself(scene: Scene, pattern: str, lines: list[int]) -> None:
    scene.put("a", "abc\ndef foo\nxé\n\nfoo")
    assert [int(line.split(":")[1]) for line in found(scene, pattern)] == lines


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(x+x+)+y", "(.*a){12}b", "(?:[ab]*a[ab]{900}[cd])|(?:.*x)"])
def test_no_pattern_takes_longer_than_the_bound(scene: Scene, pattern: str) -> None:
    scene.put("bomb", ("a" * 50_000 + "!\n") * 40)
    random = Random(1)
    scene.put("long", "".join(random.choice("ab") for _ in range(2_000_000)))
    began = time.monotonic()
    found(scene, pattern, seconds=1.0)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "missing )"),
        ("[a", "missing ]"),
        ("(?=a)", "lookaround"),
        (r"(a)\1", "backreferences"),
        ("a{2000}", "repetition"),
        ("(?:(?:a|b)?){1000}", "too many repetitions"),
        ("x" * 1001, "1000 characters"),
        ("", "nothing to search for"),
        (7, "nothing to search for"),
        ("\ud800", "no valid text"),
    ],
)
def test_a_pattern_that_cannot_be_searched_for_is_told(scene: Scene, pattern: Any, why: str) -> None:
    with pytest.raises(ToolError) as caught:
        found(scene, pattern)
    assert why in str(caught.value)


@pytest.mark.parametrize("path", ["..", "/etc", "link", "missing", "fifo"])
def test_nothing_outside_is_searched(scene: Scene, path: str) -> None:
    (scene.workspace / "link").symlink_to(scene.outside)
    os.mkfifo(scene.workspace / "fifo")
    with pytest.raises(ToolError, match=r"^cannot search "):
        found(scene, "OUTSIDE", path)
    assert found(scene, "OUTSIDE") == []


def test_binary_files_and_what_package_managers_keep_are_passed_by(scene: Scene) -> None:
    scene.put("a.out", b"needle\0needle\n")
    for folder in (".git", "node_modules", ".venv"):
        scene.put(f"{folder}/a.txt", "needle")
    scene.put(".github/a.txt", "needle")
    assert found(scene, "needle") == [".github/a.txt:1:needle"]
    assert found(scene, "needle", "node_modules") == ["node_modules/a.txt:1:needle"]


def test_more_lines_than_are_told_are_told_of(scene: Scene) -> None:
    scene.put("a.txt", "needle\n" * 11)
    assert len(found(scene, "needle", results=11)) == 11
    lines = found(scene, "needle", results=10)
    assert len(lines) == 11
    assert lines[-1] == "… the search ended early: 10 lines were found; search a folder below, or for less"


def test_each_bound_is_told(scene: Scene) -> None:
    for number in range(20):
        scene.put(f"{number}.txt", "hay\n" * 100)
    with (scene.workspace / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert found(scene, "needle") == [f"… 1 files over {4 << 20} bytes were not searched"]
    for bounds, why in (
        ({"entries": 10}, "10 files and folders were looked at"),
        ({"all_bytes": 1000}, "1000 bytes were read"),
        ({"seconds": 0.0}, "0 s have passed"),
    ):
        assert why in found(scene, "needle", **bounds)[0]


def test_what_its_user_may_not_read_is_told_of(scene: Scene) -> None:
    scene.put("closed.txt", "needle").chmod(0)
    scene.put("closed/a.txt", "needle")
    (scene.workspace / "closed").chmod(0)
    assert found(scene, "needle") == ["… 2 files and folders were not searched: the sandbox's user may not read them"]
    (scene.workspace / "closed").chmod(0o700)


def test_a_long_line_is_cut_and_what_is_not_utf_8_replaced(scene: Scene) -> None:
    scene.put("a.js", b"caf\xe9 needle " + b"x" * 100_000)
    (line,) = found(scene, "needle")
    assert line.startswith("a.js:1:caf� needle xxx")
    assert line.endswith("… (a line of 100012 bytes)")
    assert len(line) < 400


def test_a_name_with_a_line_end_forges_no_result(scene: Scene) -> None:
    Path(os.fsdecode(os.fsencode(scene.workspace) + b"/a\nb.py:1:forged\xe9")).write_text("needle")
    scene.own()
    assert found(scene, "needle") == ["a\\nb.py:1:forged\\udce9:1:needle"]


def test_a_tree_of_any_depth_and_width_is_searched(scene: Scene) -> None:
    for number in range(1000):
        (scene.workspace / f"w{number}").mkdir()
    scene.put("w999/a.txt", "needle")
    folder = os.open(scene.workspace, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        if os.geteuid() == 0:
            os.fchown(below, SANDBOX_UID, SANDBOX_UID)
        os.close(folder)
        folder = below
    with os.fdopen(os.open("a.txt", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=folder), "w") as file:
        file.write("needle")
    os.close(folder)
    began = time.monotonic()
    wide, deep = found(scene, "needle")
    assert wide == "w999/a.txt:1:needle"
    assert deep.endswith(":1:needle")
    assert time.monotonic() - began < 5
