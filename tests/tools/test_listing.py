"""list_files: which names it gives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.model.errors import ToolError
from controller.tools.files import MOST_NAMES
from tests.tools.conftest import Scene


def names(scene: Scene, *path: str) -> list[str]:
    found = scene.tools.run("list_files", scene.sandbox, **({"directory_path": path[0]} if path else {}))
    assert isinstance(found, list)
    return found


def test_the_names_of_a_folder_are_sorted_and_of_every_kind(scene: Scene) -> None:
    scene.put("folder/b")
    scene.put("folder/.hidden")
    (scene.workspace / "folder/a").mkdir()
    (scene.workspace / "folder/link").symlink_to(scene.outside)
    os.mkfifo(scene.workspace / "folder/fifo")
    assert names(scene, "folder") == [".hidden", "a", "b", "fifo", "link"]
    for path in ("", ".", "/workspace", "/workspace/", str(scene.workspace)):
        assert names(scene, path) == ["folder"]
    assert names(scene) == ["folder"]


@pytest.mark.parametrize("path", ["..", "/", "/etc", "link", "link/.", "file", "missing"])
def test_what_is_no_folder_inside_is_refused(scene: Scene, path: str) -> None:
    (scene.workspace / "link").symlink_to(scene.outside)
    scene.put("file")
    with pytest.raises(ToolError, match=r"^cannot list "):
        names(scene, path)


def test_a_folder_by_a_link_that_stays_inside_is_listed(scene: Scene) -> None:
    scene.put("real/a")
    (scene.workspace / "link").symlink_to("real")
    assert names(scene, "link") == ["a"]


def test_names_that_are_not_utf_8_can_be_encoded(scene: Scene) -> None:
    Path(os.fsdecode(os.fsencode(scene.workspace) + b"/caf\xe9")).write_text("")
    assert names(scene) == ["caf\\xe9"]
    assert scene.files.names() == [os.fsdecode(b"caf\xe9")]


def test_of_a_hundred_thousand_entries_some_are_given_and_it_says_so(scene: Scene) -> None:
    folder = scene.workspace / "many"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    first = os.open("0", os.O_WRONLY | os.O_CREAT, dir_fd=descriptor)
    os.close(first)
    for number in range(1, 100_000):
        if number % 30_000 == 0:  # a file can have so many links
            os.close(os.open(str(number), os.O_WRONLY | os.O_CREAT, dir_fd=descriptor))
        else:
            os.link(str(number - number % 30_000), str(number), src_dir_fd=descriptor, dst_dir_fd=descriptor)
    os.close(descriptor)
    if os.geteuid() == 0:
        os.chown(folder, 10001, 10001)
    found = names(scene, "many")
    assert len(found) == MOST_NAMES + 1
    assert found[-1] == f"… /there are more than these {MOST_NAMES}: list the rest with run_command"
    assert all("/" not in name for name in found[:-1])
