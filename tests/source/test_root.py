"""The root itself: missing, removed and recreated, moved away, replaced, unreadable."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.model.clock import SystemClock
from controller.model.errors import UsageError
from controller.model.identity import Key
from controller.model.manifest import Document, Snapshot
from controller.source.config import SourceConfig
from controller.source.folder import FolderSource
from tests.source.helpers import admit_all, key, manifest
from tests.source.watched import Watched, watching

NAMES = ("a", "b", "c")


def fill(root: Path, *names: str) -> None:
    root.mkdir(exist_ok=True)
    for name in names:
        (root / f"{name}.yaml").write_text(manifest(name))


def blocked(snapshot: Snapshot) -> bool:
    return snapshot.prune is not None


def unblocked(snapshot: Snapshot) -> bool:
    return snapshot.prune is None


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    fill(tmp_path / "manifests", *NAMES)
    with watching(tmp_path / "manifests") as watched:
        yield watched


def test_a_removed_root_removes_nothing_and_its_return_lifts_the_block(watched: Watched) -> None:
    shutil.rmtree(watched.root)
    lost = watched.until(lambda snapshot: blocked(snapshot) and bool(snapshot.faults))
    assert {one.name for one in lost.documents} == set(NAMES)
    assert "is missing" in lost.faults[0].message
    fill(watched.root, *NAMES)
    back = watched.until(lambda snapshot: unblocked(snapshot) and not snapshot.faults)
    assert {one.name for one in back.documents} == set(NAMES)


def test_a_recreated_root_is_watched_again(watched: Watched) -> None:
    shutil.rmtree(watched.root)
    fill(watched.root, *NAMES)
    watched.until(lambda snapshot: unblocked(snapshot) and not snapshot.faults)
    fill(watched.root, "d")
    watched.until_names(*NAMES, "d")
    (watched.root / "d.yaml").unlink()
    watched.until_names(*NAMES)


def test_a_root_moved_away_and_replaced_is_watched_again_and_blocks_what_is_lost(watched: Watched) -> None:
    watched.root.rename(watched.root.with_name("away"))
    fill(watched.root, "a")
    lost = watched.until(lambda snapshot: blocked(snapshot) and not snapshot.faults)
    assert lost.prune is not None
    assert {one.name for one in lost.prune.keys} == {"b", "c"}
    assert lost.prune.reason.startswith("the watched folder was replaced")
    fill(watched.root, "d")
    watched.until_names(*NAMES, "d")
    fill(watched.root, "b", "c")
    watched.until(unblocked)


def test_confirming_releases_the_set_of_a_missing_root_and_what_returns_is_new(watched: Watched) -> None:
    aside = watched.root.with_name("aside")
    watched.root.rename(aside)
    lost = watched.until(blocked)
    assert lost.prune is not None
    with pytest.raises(UsageError):
        watched.source.confirm_prune("00000000")
    assert watched.source.confirm_prune(lost.prune.hash) == {f"default/{name}" for name in NAMES}
    watched.until_names()
    with pytest.raises(UsageError, match="nothing to confirm"):
        watched.source.confirm_prune(None)
    aside.rename(watched.root)
    watched.until_names(*NAMES)


def test_a_root_that_comes_later_is_taken_up(tmp_path: Path) -> None:
    with watching(tmp_path / "manifests") as watched:
        assert "is missing" in watched.latest.faults[0].message
        fill(tmp_path / "manifests", "a")
        watched.until_names("a")
        assert watched.until(lambda snapshot: not snapshot.faults).prune is None


def test_a_root_that_is_a_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "manifests").write_text("")
    with watching(tmp_path / "manifests") as watched:
        assert "is not a folder" in watched.latest.faults[0].message


def test_a_root_behind_a_swapped_link_is_followed(tmp_path: Path) -> None:
    fill(tmp_path / "one", *NAMES)
    fill(tmp_path / "two", *NAMES, "d")
    (tmp_path / "manifests").symlink_to("one")
    with watching(tmp_path / "manifests") as watched:
        watched.until_names(*NAMES)
        (tmp_path / "swap").symlink_to("two")
        (tmp_path / "swap").rename(tmp_path / "manifests")
        watched.until_names(*NAMES, "d")
        assert watched.latest.prune is None
        fill(tmp_path / "two", "e")
        watched.until_names(*NAMES, "d", "e", deadline=1.0)


def test_an_intact_root_that_loses_its_last_files_is_an_ordinary_removal(watched: Watched) -> None:
    for name in NAMES:
        (watched.root / f"{name}.yaml").unlink()
    watched.until_names()
    assert all(unblocked(snapshot) for _, snapshot in watched.delivered)


def test_a_root_replaced_while_the_daemon_was_down_is_noticed(tmp_path: Path) -> None:
    fill(tmp_path / "manifests", *NAMES)
    config = SourceConfig(tmp_path / "manifests", memory_file=tmp_path / "root")
    before = FolderSource(config, admit_all, {}, SystemClock()).scan_once().documents
    (tmp_path / "manifests").rename(tmp_path / "unmounted")
    (tmp_path / "manifests").mkdir()
    for _ in range(2):  # a second restart finds it blocked still
        source = FolderSource(config, admit_all, before, SystemClock())
        watched = Watched(source, tmp_path / "manifests")
        source.start(watched.take)
        try:
            assert watched.until(blocked).documents == before
        finally:
            source.stop()
    fill(tmp_path / "manifests", *NAMES)
    source = FolderSource(config, admit_all, before, SystemClock())
    assert source.scan_once().prune is None


def declares(root: Path, *names: str) -> None:
    (root / "all.yaml").write_text("---\n".join(manifest(name) for name in names))


def test_what_a_replaced_root_still_has_to_lose_is_held_back_as_well(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    declares(tmp_path / "manifests", *NAMES)
    with watching(tmp_path / "manifests") as watched:
        watched.until_names(*NAMES)
        (tmp_path / "other").mkdir()
        declares(tmp_path / "other", "z")
        watched.root.rename(tmp_path / "away")
        (tmp_path / "other").rename(watched.root)
        lost = watched.until(blocked).prune
        assert lost is not None
        assert {one.name for one in lost.keys} == set(NAMES)
        assert watched.stays(lambda snapshot: set(snapshot.documents) >= {key(name) for name in NAMES}, 1.5)


def test_what_a_replaced_root_declared_itself_goes_in_the_ordinary_way(watched: Watched) -> None:
    watched.root.rename(watched.root.with_name("away"))
    fill(watched.root, *NAMES, "d")
    watched.until_names(*NAMES, "d")
    (watched.root / "d.yaml").unlink()
    watched.until_names(*NAMES)
    assert watched.latest.prune is None


@contextmanager
def remembering(root: Path, baseline: Mapping[Key, Document]) -> Iterator[Watched]:
    """A source that remembers, as a daemon's does."""
    config = SourceConfig(root, memory_file=root.with_name("source.json"))
    source = FolderSource(config, admit_all, baseline, SystemClock())
    watched = Watched(source, root)
    source.start(watched.take)
    try:
        yield watched
    finally:
        source.stop()


def test_a_root_replaced_meanwhile_by_one_with_files_of_the_same_name_is_noticed(tmp_path: Path) -> None:
    root = tmp_path / "manifests"
    root.mkdir()
    declares(root, *NAMES)
    with remembering(root, {}) as watched:
        before = watched.until_names(*NAMES).documents
    root.rename(tmp_path / "away")
    root.mkdir()
    declares(root, "z")
    for _ in range(2):
        with remembering(root, before) as watched:
            lost = watched.until(blocked).prune
            assert lost is not None
            assert {one.name for one in lost.keys} == set(NAMES)


def test_a_restart_releases_no_removal_that_was_held_back(tmp_path: Path) -> None:
    root, six, four = tmp_path / "manifests", [f"s{n}" for n in range(6)], [f"t{n}" for n in range(4)]
    fill(root, *six, *four)
    with remembering(root, {}) as watched:
        watched.until_names(*six, *four)
        for name in six:
            (root / f"{name}.yaml").unlink()
        watched.until(blocked)
        fill(root, *(f"u{n}" for n in range(4)))  # six of fourteen are no longer more than half
        before = watched.until(lambda snapshot: len(snapshot.documents) == 14).documents
    with remembering(root, before) as watched:
        held = watched.until(blocked).prune
        assert held is not None
        assert {one.name for one in held.keys} == set(six)
        assert watched.stays(lambda snapshot: len(snapshot.documents) == 14, 0.5)
        fill(root, "s0")
        watched.until(lambda snapshot: snapshot.prune is not None and len(snapshot.prune.keys) == 5)
        watched.source.confirm_prune(None)
        after = watched.until_names("s0", *four, *(f"u{n}" for n in range(4))).documents
    with remembering(root, after) as watched:
        assert watched.until(unblocked).documents == after


def test_a_damaged_memory_is_none(tmp_path: Path) -> None:
    fill(tmp_path / "manifests", *NAMES)
    (tmp_path / "source.json").write_text("{")
    with remembering(tmp_path / "manifests", {}) as watched:
        watched.until_names(*NAMES)
    assert json.loads((tmp_path / "source.json").read_text())["root"]["inode"] == (tmp_path / "manifests").stat().st_ino


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[None]:
    """Root may read everything; so the test goes on as somebody else where it is run as root."""
    if os.geteuid() != 0:
        yield
        return
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(path.stat().st_mode | 0o055)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_cannot_be_read_is_bad_and_not_gone(tmp_path: Path, unprivileged: None) -> None:
    euid = os.geteuid()

    def protect(path: Path, mode: int) -> None:
        if euid == 65534:
            os.seteuid(0)
        path.chmod(mode)
        os.seteuid(euid)

    if euid == 65534:
        os.seteuid(0)
    root = tmp_path / "manifests"
    fill(root, *NAMES)
    fill(root / "team", "d")
    os.seteuid(euid)
    good = FolderSource(SourceConfig(root), admit_all, {}, SystemClock()).scan_once()
    assert {one.name for one in good.documents} == {*NAMES, "d"}

    protect(root / "a.yaml", 0)
    protect(root / "team", 0)
    unreadable = FolderSource(SourceConfig(root), admit_all, good.documents, SystemClock()).scan_once()
    assert unreadable.documents == good.documents
    assert set(unreadable.stale) == {key("a")}
    assert [str(fault) for fault in unreadable.faults] == [
        "team:1:1: the folder cannot be listed: Permission denied (what was declared in it stays as it is)",
        "a.yaml:1:1: cannot be opened: Permission denied (check its permissions)",
    ]

    protect(root, 0)
    hidden = FolderSource(SourceConfig(root), admit_all, good.documents, SystemClock()).scan_once()
    assert hidden.documents == good.documents
    assert hidden.prune is not None
    assert hidden.prune.reason.endswith("cannot be listed: Permission denied")
    protect(root, 0o755)
    protect(root / "team", 0o755)
