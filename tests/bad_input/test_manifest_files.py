"""Files that no watcher should have to see: each is a fault in its place, and what runs stays."""

from __future__ import annotations

import itertools
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.model.manifest import Snapshot
from tests.source.helpers import key, manifest
from tests.source.watched import Watched, watching


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    root = tmp_path / "manifests"
    root.mkdir()
    (root / "good.yaml").write_text(manifest("good"))
    (root / "web.yaml").write_text(manifest("web"))
    with watching(root, rescan_interval=1.0) as watched:
        yield watched


def fault_of(snapshot: Snapshot, file: str) -> str:
    return next((str(fault) for fault in snapshot.faults if fault.file == file), "")


def bomb() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    names = "abcdefghij"
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in itertools.pairwise(names)]
    return "\n".join(lines)


BAD_TEXTS = {
    "broken": (b"kind: [\n", "2:1: not valid YAML"),
    "bomb": (bomb().encode(), "5:12: more than 10000 values in one document, aliases counted in full"),
    "deep": (b"[" * 900, "1:65: nested more than 64 levels deep"),
    "latin": ("kind: S\n# é".encode("latin-1"), "2:3: is not UTF-8 (byte 0xe9) (save it as UTF-8)"),
    "utf16": ("kind: Sandbox\n".encode("utf-16"), "1:1: is not UTF-8 (byte 0xff) (save it as UTF-8)"),
    "nul": (b"kind: a\0b\n", "1:8: not valid YAML: control characters are not allowed"),
    "tabs": (b"kind:\n\tSandbox\n", "2:1: not valid YAML"),
    "binary": (bytes(range(256)), "2:118: is not UTF-8 (byte 0x80)"),
    "list": (b"- a\n", "1:1: a manifest is a mapping"),
    "kind": (b"apiVersion: sandkeeper.dev/v1alpha1\nkind: Pod\n", "2:7: kind: 'Pod' is not a kind of"),
    "group": (b"apiVersion: apps/v1\nkind: Deployment\n", "1:13: apiVersion: 'apps/v1' is not supported"),
    "traversal": (manifest("../../etc").encode(), '4:9: metadata.name: "../../etc" must be at most 63'),
    "unit": (
        manifest("web", "{resources: {limits: {memory: 512 megs}}}").encode(),
        "5:37: spec.resources.limits.memory: '512 megs' is not an amount of memory; write 512Mi, 1Gi or 512m",
    ),
    "norway": (manifest("web", "{image: no}").encode(), "5:15: no is a boolean in some YAML readers"),
    "twice": (manifest("web").encode() + b"spec: {}\n", "6:1: spec is already set on line 5"),
    "python": (
        b"a: !!python/object/apply:os.system [id]\n",
        "1:4: the tag !!python/object/apply:os.system is not taken",
    ),
    "empty": (b"", "1:1: declares nothing any more"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_a_bad_text_is_a_fault_in_its_place_and_keeps_the_sandbox(watched: Watched, name: str) -> None:
    data, fault = BAD_TEXTS[name]
    (watched.root / "web.yaml").write_bytes(data)
    bad = watched.until(lambda snapshot: key("web") in snapshot.stale)
    assert fault_of(bad, "web.yaml").startswith(f"web.yaml:{fault}")
    assert set(bad.documents) == {key("good"), key("web")}
    watched.write("web.yaml", manifest("web"))
    watched.until(lambda snapshot: not snapshot.faults and not snapshot.stale)


def test_an_abyss_of_brackets_is_refused_where_its_reader_gives_up(watched: Watched) -> None:
    """Whichever counts first: libyaml looks ahead, and newer ones have a limit of their own."""
    (watched.root / "web.yaml").write_bytes(b"[" * 100_000)
    bad = watched.until(lambda snapshot: key("web") in snapshot.stale)
    place, _, rest = fault_of(bad, "web.yaml").partition(": ")
    assert place in ("web.yaml:1:65", "web.yaml:1:1001")
    assert rest == "nested more than 64 levels deep (a manifest needs fewer than 10)"


def test_a_file_of_50_mb_is_refused_unread(watched: Watched) -> None:
    with (watched.root / "web.yaml").open("wb") as file:
        for _ in range(50):
            file.write(b"#" * (1 << 20))
    spent = time.process_time()
    bad = watched.until(lambda snapshot: key("web") in snapshot.stale)
    assert time.process_time() - spent < 0.5
    assert fault_of(bad, "web.yaml") == (
        "web.yaml:1:1: is 52428800 bytes; a manifest has at most 1048576 (use several files)"
    )


Make = Callable[[Path], None]


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(path.parent)
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_link_out(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def make_link_out_by_dots(path: Path) -> None:
    outside = path.parent.parent / "outside.yaml"
    outside.write_text(manifest("outside"))
    path.symlink_to("../outside.yaml")


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere.yaml")


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


ODD_FILES: dict[Make, str] = {
    make_pipe: "is a named pipe, not a file (manifests are regular files)",
    make_socket: "is a socket, not a file (manifests are regular files)",
    make_folder: "is a folder, not a file (manifests are regular files)",
    make_link_out: "is a symlink that leads out of the watched folder (copy the file into the folder)",
    make_link_out_by_dots: "is a symlink that leads out of the watched folder (copy the file into the folder)",
    make_dangling_link: "is a symlink to nothing",
    make_loop: "is a symlink to nothing",
}


@pytest.mark.parametrize("make", ODD_FILES, ids=lambda made: made.__name__)
def test_what_is_no_regular_file_inside_is_a_fault_and_blocks_nothing(watched: Watched, make: Make) -> None:
    make(watched.root / "odd.yaml")
    watched.until(lambda snapshot: fault_of(snapshot, "odd.yaml") == f"odd.yaml:1:1: {ODD_FILES[make]}")
    watched.write("more.yaml", manifest("more"))
    assert watched.until_names("good", "web", "more").stale == {}


@pytest.mark.parametrize("make", [make_pipe, make_folder, make_link_out], ids=lambda made: made.__name__)
def test_a_manifest_that_becomes_something_else_keeps_its_sandbox(watched: Watched, make: Make) -> None:
    (watched.root / "web.yaml").unlink()
    make(watched.root / "web.yaml")
    bad = watched.until(lambda snapshot: fault_of(snapshot, "web.yaml") != "")
    assert set(bad.documents) == {key("good"), key("web")}


def test_a_file_name_that_is_not_utf_8_is_a_fault_that_can_be_printed(watched: Watched) -> None:
    path = os.fsencode(watched.root) + b"/caf\xe9.yaml"
    with open(path, "w") as file:  # noqa: PTH123 - pathlib takes no bytes
        file.write(manifest("cafe"))
    bad = watched.until(lambda snapshot: bool(snapshot.faults))
    assert str(bad.faults[0]) == "caf\\xe9.yaml:1:1: has a name that cannot be printed (rename it in plain UTF-8)"
    str(bad.faults[0]).encode()


def test_links_to_folders_are_followed_inside_only_and_never_in_circles(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/out.yaml").write_text(manifest("out"))
    (watched.root / "out").symlink_to(tmp_path / "elsewhere")
    (watched.root / "circle").symlink_to(".")
    (watched.root / "team").mkdir()
    (watched.root / "team/up").symlink_to("..")
    (watched.root / ".versions/one").mkdir(parents=True)
    (watched.root / ".versions/one/in.yaml").write_text(manifest("in"))
    (watched.root / "current").symlink_to(".versions/one")
    assert watched.until_names("good", "web", "in").faults == ()


def test_many_bad_files_at_once_leave_the_good_ones_alone(watched: Watched) -> None:
    for number in range(300):
        watched.write(f"bad{number}.yaml", "kind: [\n")
    bad = watched.until(lambda snapshot: len(snapshot.faults) == 300)
    assert set(bad.documents) == {key("good"), key("web")}
