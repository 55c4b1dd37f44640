"""write_file: what it leaves on the disk, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from controller.model.errors import ToolError
from controller.tools.files import WorkspaceFiles
from tests.directory_runtime.house import small_disk
from tests.tools.conftest import Scene
from tests.tools.sandboxes import SANDBOX_UID


def write(scene: Scene, path: str, content: str | bytes) -> str:
    written = scene.tools.run("write_file", scene.sandbox, file_path=path, content=content)
    assert isinstance(written, str)
    return written


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_is_written_with_the_folders_above_it_and_its_path_told(scene: Scene) -> None:
    for path in ("a/b/c.txt", "/workspace/a/b/c.txt", f"{scene.workspace}/a/b/c.txt"):
        assert write(scene, path, f"für {path}") == f"{scene.workspace}/a/b/c.txt"
        assert (scene.workspace / "a/b/c.txt").read_text() == f"für {path}"
    assert names(scene.workspace / "a/b") == ["c.txt"]


@pytest.mark.root
def test_what_is_written_belongs_to_the_sandboxs_user(scene: Scene) -> None:
    write(scene, "a/b.txt", "x")
    for path, mode in (("a", 0o755), ("a/b.txt", 0o644)):
        status = (scene.workspace / path).stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (SANDBOX_UID, SANDBOX_UID, mode)


def test_a_file_that_is_replaced_keeps_its_permissions_but_no_special_ones(scene: Scene) -> None:
    scene.put("run.sh", "old").chmod(0o4750)
    write(scene, "run.sh", "new")
    assert (scene.workspace / "run.sh").stat().st_mode & 0o7777 == 0o750


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_controllers_umask_does_not_matter(scene: Scene, umask: int) -> None:
    former = os.umask(umask)
    try:
        write(scene, "a.txt", "x")
    finally:
        os.umask(former)
    assert (scene.workspace / "a.txt").stat().st_mode & 0o777 == 0o644


def test_a_reader_sees_the_old_or_the_new_and_nothing_between(scene: Scene) -> None:
    contents = {letter * 500_000 for letter in "abc"}
    write(scene, "a.txt", "a" * 500_000)
    done = threading.Event()
    torn: list[int] = []

    def look() -> None:
        while not done.is_set():
            text = (scene.workspace / "a.txt").read_text()
            if text not in contents:
                torn.append(len(text))

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(20):
        for content in contents:
            write(scene, "a.txt", content)
    done.set()
    reader.join()
    assert torn == []
    assert names(scene.workspace) == ["a.txt"]


def test_other_links_of_a_file_keep_what_was_in_it(scene: Scene) -> None:
    os.link(scene.outside / "secret", scene.workspace / "linked")
    write(scene, "linked", "mine")
    assert (scene.outside / "secret").read_text() == "OUTSIDE"
    assert (scene.workspace / "linked").read_text() == "mine"


@pytest.mark.parametrize(
    "path", ["../outside/new", "/etc/new", "link", "folder/new", "folder/deep/new", "up/outside/new"]
)
def test_nothing_is_written_outside(scene: Scene, path: str) -> None:
    (scene.workspace / "link").symlink_to(scene.outside / "secret")
    (scene.workspace / "folder").symlink_to(scene.outside)
    (scene.workspace / "up").symlink_to("../..")
    scene.own()
    with pytest.raises(ToolError, match=r"outside the workspace|leads out of the workspace|has a `..`"):
        write(scene, path, "x")
    assert names(scene.outside) == ["secret"]
    assert (scene.outside / "secret").read_text() == "OUTSIDE"


def test_links_that_stay_inside_are_written_through(scene: Scene) -> None:
    scene.put("real/a.txt", "old")
    (scene.workspace / "folder").symlink_to("/workspace/real")
    (scene.workspace / "file").symlink_to("real/a.txt")
    (scene.workspace / "dangling").symlink_to("new/folder/b.txt")
    scene.own()
    assert write(scene, "file", "by link") == f"{scene.workspace}/real/a.txt"
    assert (scene.workspace / "file").is_symlink()
    write(scene, "folder/c.txt", "c")
    write(scene, "dangling", "b")
    found = {path: (scene.workspace / path).read_text() for path in ("real/a.txt", "real/c.txt", "new/folder/b.txt")}
    assert found == {"real/a.txt": "by link", "real/c.txt": "c", "new/folder/b.txt": "b"}


def test_a_folder_a_fifo_and_a_file_on_the_way_are_refused(scene: Scene) -> None:
    (scene.workspace / "folder").mkdir()
    os.mkfifo(scene.workspace / "fifo")
    scene.put("file", "x")
    for path, why in (
        ("folder", "folder"),
        ("folder/", "names a folder"),
        (".", "folder"),
        ("fifo", "FIFO"),
        ("file/below", "no folder"),
        ("x" * 256, "too long"),
    ):
        with pytest.raises(ToolError, match=why):
            write(scene, path, "x")
    assert names(scene.workspace) == ["fifo", "file", "folder"]


def test_bytes_are_taken_and_what_is_no_text_is_refused(scene: Scene) -> None:
    write(scene, "a.bin", b"\xff\0")
    assert (scene.workspace / "a.bin").read_bytes() == b"\xff\0"
    for content, why in (("\ud800", "half a character"), (7, "text, not int"), (None, "text, not NoneType")):
        with pytest.raises(ToolError, match=why):
            scene.tools.run("write_file", scene.sandbox, file_path="a.txt", content=content)


def test_content_over_the_cap_is_refused_and_nothing_is_left(scene: Scene) -> None:
    small = WorkspaceFiles(scene.workspace, most_bytes=10)
    small.write("a", b"x" * 10)
    with pytest.raises(ToolError, match="cannot write 11 bytes: 10 are allowed"):
        small.write("b/c", b"x" * 11)
    assert names(scene.workspace) == ["a"]


def test_where_the_sandboxs_user_may_not_write_neither_does_the_tool(scene: Scene) -> None:
    scene.put("closed/a.txt", "x")
    (scene.workspace / "closed").chmod(0o500)
    with pytest.raises(ToolError, match=r"the sandbox's user may not.*chmod"):
        write(scene, "closed/b.txt", "x")
    (scene.workspace / "closed").chmod(0o700)


@pytest.mark.root
def test_a_full_disk_is_told_and_leaves_the_old_file_whole() -> None:
    with small_disk() as state:
        files = WorkspaceFiles(state)
        files.write("a.txt", b"old")
        with pytest.raises(ToolError, match="no space is left"):
            files.write("a.txt", b"x" * (2 << 20))
        assert files.read("a.txt") == b"old"
        assert files.names() == ["a.txt"]


@pytest.mark.root
def test_a_controller_that_may_not_act_as_the_user_says_so(scene: Scene) -> None:
    script = f"""
from pathlib import Path
from controller.model.errors import ToolError
from controller.tools.files import WorkspaceFiles
try:
    WorkspaceFiles(Path({str(scene.workspace)!r})).write("a", b"x")
except ToolError as exc:
    print(exc)
"""
    done = subprocess.run(
        ["setpriv", "--bounding-set=-setuid,-setgid", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert "it needs CAP_SETUID" in done.stdout, done.stdout + done.stderr
    assert names(scene.workspace) == []
