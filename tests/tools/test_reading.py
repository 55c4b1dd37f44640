"""read_file: what it gives, and what it refuses."""

from __future__ import annotations

import os
import re
import socket
import stat
import time
from pathlib import Path

import pytest

from controller.model.errors import ToolError
from controller.tools.files import WorkspaceFiles
from tests.tools.conftest import Scene
from tests.tools.sandboxes import SANDBOX_UID, hostile

LEASE = """
signal.signal(signal.SIGIO, signal.SIG_IGN)  # it is told that somebody wants the file
descriptor = os.open("leased", os.O_RDWR)
fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("begun", flush=True)
while True: time.sleep(100)
"""


def read(scene: Scene, path: str) -> str:
    text = scene.tools.run("read_file", scene.sandbox, file_path=path)
    assert isinstance(text, str)
    return text


def test_a_file_is_read_by_each_of_its_names(scene: Scene) -> None:
    scene.put("notes/a.txt", "früh\r\n")
    for path in ("notes/a.txt", "./notes//a.txt", "/workspace/notes/a.txt", str(scene.workspace / "notes/a.txt")):
        assert read(scene, path) == "früh\r\n"


@pytest.mark.parametrize(
    "path", ["../outside/secret", "a/../../outside/secret", "..", "notes/../a.txt", "/workspace/../outside/secret"]
)
def test_two_dots_are_refused(scene: Scene, path: str) -> None:
    scene.put("a.txt", "here")
    with pytest.raises(ToolError, match=re.escape("has a `..`")):
        read(scene, path)


@pytest.mark.parametrize("path", ["/etc/passwd", "/", "/workspaces/a", "/workspace-a", "//etc/passwd"])
def test_an_absolute_path_outside_is_refused(scene: Scene, path: str) -> None:
    with pytest.raises(ToolError, match="lies outside the workspace"):
        read(scene, path)


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "x" * 300, "a/" * 5000 + "b", "", "missing", "a.txt/b"])
def test_a_path_that_cannot_be_is_an_error_that_names_it(scene: Scene, path: str) -> None:
    scene.put("a.txt", "here")
    with pytest.raises(ToolError, match=r"^cannot read ") as caught:
        read(scene, path)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside/secret", "../../../../../../../etc/passwd", "/"])
def test_a_link_out_is_refused(scene: Scene, target: str) -> None:
    (scene.workspace / "link").symlink_to(target)
    (scene.workspace / "folder").symlink_to(scene.outside)
    for path in ("link", "folder/secret"):
        with pytest.raises(ToolError, match="leads out of the workspace"):
            read(scene, path)


def test_a_link_that_stays_inside_is_followed_however_it_is_written(scene: Scene) -> None:
    scene.put("deep/er/a.txt", "here")
    links = {
        "relative": "deep/er/a.txt",
        "absolute": "/workspace/deep/er/a.txt",
        "of_the_host": f"{scene.workspace}/deep/er/a.txt",
        "deep/up": "../deep/./er/a.txt",
        "second": "relative",
        "folder": "deep/er",
    }
    for name, target in links.items():
        (scene.workspace / name).symlink_to(target)
    (scene.workspace / "deep/er/top").symlink_to("../..")
    for path in (*[name for name in links if name != "folder"], "folder/a.txt", "folder/top/deep/er/top/relative"):
        assert read(scene, path) == "here"


def test_links_in_a_circle_or_of_very_many_steps_end_in_an_error(scene: Scene) -> None:
    (scene.workspace / "circle").symlink_to("circle")
    (scene.workspace / "d").mkdir()
    (scene.workspace / "long").symlink_to("d/../" * 800 + "long2")
    (scene.workspace / "long2").symlink_to("d/../" * 800 + "long")
    scene.own()
    for path in ("circle", "circle/x", "long"):
        began = time.monotonic()
        with pytest.raises(ToolError, match=r"circle|too many folders"):
            read(scene, path)
        assert time.monotonic() - began < 2


def test_a_fifo_a_socket_and_a_folder_are_refused_at_once(scene: Scene) -> None:
    os.mkfifo(scene.workspace / "fifo", 0o666)
    (scene.workspace / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(scene.workspace / "socket"))
        scene.own()
        for path, why in (("fifo", "FIFO"), ("socket", "FIFO, a socket"), ("folder", "a folder"), (".", "a folder")):
            with pytest.raises(ToolError, match=why):
                read(scene, path)


@pytest.mark.root
def test_a_device_is_never_opened(scene: Scene) -> None:
    device = scene.workspace / "zero"
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    device.chmod(0o666)
    scene.own()
    with pytest.raises(ToolError, match="device"):
        read(scene, "zero")


def test_a_file_that_somebody_holds_a_lease_on_is_refused_at_once(scene: Scene) -> None:
    scene.put("leased", "mine")
    with hostile(LEASE, scene.workspace):
        began = time.monotonic()
        with pytest.raises(ToolError, match="holds a lease"):
            read(scene, "leased")
        assert time.monotonic() - began < 2


def test_a_file_over_the_cap_is_refused_unread(scene: Scene) -> None:
    with scene.put("sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ToolError, match=r"1099511627776 bytes are more than the \d+ that are read.*head"):
        read(scene, "sparse")
    scene.put("full", b"x" * 101)
    small = WorkspaceFiles(scene.workspace, most_bytes=101)
    assert small.read("full") == b"x" * 101
    with pytest.raises(ToolError, match="101 bytes are more than the 100"):
        WorkspaceFiles(scene.workspace, most_bytes=100).read("full")


def test_what_is_not_utf_8_is_read_as_bytes_and_refused_as_text(scene: Scene) -> None:
    scene.put("latin", b"caf\xe9")
    assert scene.files.read("latin") == b"caf\xe9"
    with pytest.raises(ToolError, match=r"byte 3 \(0xe9\) is not UTF-8.*run_command"):
        read(scene, "latin")


def test_a_name_that_is_not_utf_8_can_be_read(scene: Scene) -> None:
    Path(os.fsdecode(os.fsencode(scene.workspace) + b"/caf\xe9")).write_text("here")
    scene.own()
    assert scene.files.read(os.fsdecode(b"caf\xe9")) == b"here"


def test_a_tree_deeper_than_a_path_can_be_is_read(scene: Scene) -> None:
    folder = os.open(scene.workspace, os.O_RDONLY)
    name = "d" * 200
    for _ in range(40):
        os.mkdir(name, dir_fd=folder)
        below = os.open(name, os.O_RDONLY, dir_fd=folder)
        if os.geteuid() == 0:
            os.fchown(below, SANDBOX_UID, SANDBOX_UID)
        os.close(folder)
        folder = below
    with os.fdopen(os.open("a.txt", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=folder), "w") as file:
        file.write("deep")
    os.close(folder)
    assert read(scene, f"{name}/" * 40 + "a.txt") == "deep"


@pytest.mark.root
def test_root_reads_nothing_that_the_sandboxs_user_may_not(scene: Scene) -> None:
    hidden = scene.outside / "hidden"
    hidden.write_text("OUTSIDE")
    former = os.getgroups()
    os.setgroups([0, 4711])  # those are left as well
    try:
        for mode, group in ((0o600, 0), (0o640, 0), (0o640, 4711)):
            hidden.chmod(mode)
            os.chown(hidden, 0, group)
            linked = scene.workspace / f"linked-{mode:o}-{group}"
            os.link(hidden, linked)
            with pytest.raises(ToolError, match="the sandbox's user may not"):
                read(scene, linked.name)
        assert os.getgroups() == [0, 4711]
    finally:
        os.setgroups(former)


@pytest.mark.root
def test_root_is_itself_again_after_a_tool(scene: Scene) -> None:
    scene.put("a.txt", "here")
    groups = os.getgroups()
    read(scene, "a.txt")
    mine = scene.outside / "mine"
    mine.write_text("x")
    assert (mine.stat().st_uid, os.getgroups()) == (0, groups)


def test_a_workspace_that_is_gone_is_told(scene: Scene) -> None:
    scene.workspace.rmdir()
    with pytest.raises(ToolError, match="has no workspace at"):
        read(scene, "a.txt")
    scene.workspace.symlink_to(scene.outside)
    with pytest.raises(ToolError, match=r"^cannot read secret"):
        read(scene, "secret")
    scene.workspace.unlink()


@pytest.mark.parametrize("arguments", [{}, {"path": "a"}, {"file_path": "a", "mode": "r"}, {"file_path": 7}])
def test_wrong_arguments_are_an_error_that_tells_the_right_ones(scene: Scene, arguments: dict[str, object]) -> None:
    with pytest.raises(ToolError, match=r"read_file takes file_path|a path is text"):
        scene.tools.run("read_file", scene.sandbox, **arguments)
