"""Real files changing under the real watcher: what each way of changing a folder comes to."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from watchdog.events import FileClosedEvent
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from controller.model.clock import SystemClock
from controller.model.manifest import Document, Snapshot
from controller.source.config import SourceConfig
from controller.source.folder import FolderSource
from controller.source.inbox import Batch, Inbox
from controller.source.listing import identify
from controller.source.watch import FolderWatch, Handler
from controller.source.watched_skills import WatchedSkills
from tests.source.helpers import admit_all, key, manifest
from tests.source.watched import Watched, watching

FREEZE = "{suspend: {mode: Freeze}}"


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    root = tmp_path / "manifests"
    root.mkdir()
    (root / "web.yaml").write_text(manifest("web"))
    with watching(root) as watched:
        yield watched


def edited(snapshot: Snapshot, name: str = "web") -> bool:
    document = snapshot.documents.get(key(name))
    return document is not None and document.body["spec"] != {}


def test_the_first_snapshot_is_synced_and_traces_its_files(watched: Watched) -> None:
    document = watched.latest.documents[key("web")]
    assert (document.file, document.line) == ("web.yaml", 1)
    assert document.saved_at == (watched.root / "web.yaml").stat().st_mtime
    assert 0 <= document.seen_at - document.saved_at < 60


def test_a_created_file_is_taken_at_once(watched: Watched) -> None:
    began = time.monotonic()
    watched.write("api.yml", manifest("api"))
    watched.until_names("web", "api")
    assert watched.delivered[-1][0] - began < 0.9


def test_an_edited_file_is_taken_at_once(watched: Watched) -> None:
    began = time.monotonic()
    watched.write("web.yaml", manifest("web", FREEZE))
    watched.until(edited)
    assert watched.delivered[-1][0] - began < 0.9


def test_a_deleted_file_is_gone_after_two_looks(watched: Watched) -> None:
    began = time.monotonic()
    (watched.root / "web.yaml").unlink()
    watched.until_names()
    assert 0.1 <= watched.delivered[-1][0] - began < 1.5


def test_a_renamed_file_keeps_its_sandbox_throughout(watched: Watched) -> None:
    (watched.root / "web.yaml").rename(watched.root / "renamed.yaml")
    watched.until(lambda snapshot: snapshot.documents[key("web")].file == "renamed.yaml")
    assert all(key("web") in snapshot.documents for _, snapshot in watched.delivered)
    assert all(not snapshot.faults for _, snapshot in watched.delivered)


def test_a_file_renamed_into_a_folder_just_made_keeps_its_sandbox_throughout(watched: Watched) -> None:
    """No event may tell of it: the folder is watched only from a moment after it was made."""
    path = watched.root / "web.yaml"
    for name in ("one", "two", "three", "four"):
        (watched.root / name).mkdir()
        path = path.rename(watched.root / name / "web.yaml")
        watched.until(partial(is_declared_in, f"{name}/web.yaml"))
    assert all(key("web") in snapshot.documents for _, snapshot in watched.delivered)


def is_declared_in(file: str, snapshot: Snapshot) -> bool:
    return key("web") in snapshot.documents and snapshot.documents[key("web")].file == file


def test_a_file_renamed_out_of_sight_is_gone_and_comes_back(watched: Watched) -> None:
    path = watched.root / "web.yaml"
    path.rename(path.with_suffix(".disabled"))
    watched.until_names()
    path.with_suffix(".disabled").rename(path)
    watched.until_names("web")


def test_documents_come_and_go_within_a_file(watched: Watched) -> None:
    watched.write("web.yaml", manifest("web") + "---\n" + manifest("api"))
    watched.until_names("web", "api")
    watched.write("web.yaml", manifest("api"))
    watched.until_names("api")


def test_vims_way_of_saving_never_loses_the_sandbox_and_is_quick(watched: Watched) -> None:
    path = watched.root / "web.yaml"
    began = time.monotonic()
    (watched.root / "4913").touch()
    (watched.root / "4913").unlink()
    path.rename(watched.root / "web.yaml~")
    path.write_text(manifest("web", FREEZE))
    (watched.root / "web.yaml~").unlink()
    watched.until(edited)
    assert watched.delivered[-1][0] - began < 0.9
    assert all(key("web") in snapshot.documents for _, snapshot in watched.delivered)


def test_a_temporary_file_renamed_over_is_taken_at_once(watched: Watched) -> None:
    began = time.monotonic()
    draft = watched.root / ".web.yaml.tmp123"
    draft.write_text(manifest("web", FREEZE))
    draft.replace(watched.root / "web.yaml")
    watched.until(edited)
    assert watched.delivered[-1][0] - began < 0.9


def test_truncating_and_writing_in_place_never_shows_a_half_file(watched: Watched) -> None:
    text = manifest("web", FREEZE)
    with (watched.root / "web.yaml").open("w") as file:
        for part in (text[:20], text[20:80], text[80:]):
            file.write(part)
            file.flush()
            assert watched.stays(lambda snapshot: not snapshot.faults and not edited(snapshot), 0.15)
    watched.until(edited)


def test_a_valid_half_written_file_does_not_remove_what_is_still_to_come(watched: Watched) -> None:
    watched.write("web.yaml", manifest("web") + "---\n" + manifest("api"))
    watched.until_names("web", "api")
    with (watched.root / "web.yaml").open("w") as file:
        file.write(manifest("web"))
        file.flush()
        watched.source.rescan()
        assert watched.stays(lambda snapshot: key("api") in snapshot.documents, 0.6)
        file.write("---\n" + manifest("api", FREEZE))
    watched.until(lambda snapshot: edited(snapshot, "api"))


def test_a_file_hard_linked_or_moved_in_from_outside_is_complete(watched: Watched, tmp_path: Path) -> None:
    for name in ("linked", "moved"):
        (tmp_path / f"{name}.yaml").write_text(manifest(name))
    (watched.root / "linked.yaml").hardlink_to(tmp_path / "linked.yaml")
    watched.until_names("web", "linked", deadline=1.0)
    (tmp_path / "moved.yaml").rename(watched.root / "moved.yaml")
    watched.until_names("web", "linked", "moved", deadline=1.0)


def test_folders_are_watched_as_they_come_move_and_go(watched: Watched, tmp_path: Path) -> None:
    watched.write("team/deep/api.yaml", manifest("api"))
    watched.until_names("web", "api")
    watched.write("team/deep/api.yaml", manifest("api", FREEZE))
    watched.until(lambda snapshot: edited(snapshot, "api"))
    (watched.root / "team").rename(watched.root / "crew")
    watched.until(lambda snapshot: snapshot.documents[key("api")].file == "crew/deep/api.yaml")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/db.yaml").write_text(manifest("db"))
    (tmp_path / "outside").rename(watched.root / "inside")
    watched.until_names("web", "api", "db")
    shutil.rmtree(watched.root / "crew")
    watched.until_names("web", "db")


def test_dotfiles_temporary_files_and_other_files_are_passed_over(watched: Watched) -> None:
    for name in (".hidden.yaml", ".git/config.yaml", "web.yaml~", "#web.yaml#", "notes.txt", "web.yaml.bak"):
        watched.write(name, manifest("other"))
    watched.write("last.yaml", manifest("last"))
    watched.until_names("web", "last")
    assert watched.latest.faults == ()


def swap(root: Path, version: str, files: dict[str, str]) -> None:
    """What Kubernetes' AtomicWriter does: a new hidden folder, and one rename of `..data` over the old link."""
    folder = root / f"..{version}"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (root / "..data_tmp").symlink_to(folder.name)
    (root / "..data_tmp").rename(root / "..data")
    for name in files:
        visible = root / name.partition("/")[0]
        if not visible.is_symlink():
            visible.symlink_to(f"..data/{visible.name}")
    for link in root.iterdir():
        if link.is_symlink() and not link.name.startswith(".") and not link.exists():
            link.unlink()


def test_kubernetes_swaps_of_all_files_are_taken_at_once(tmp_path: Path) -> None:
    root = tmp_path / "volume"
    root.mkdir()
    with watching(root) as watched:
        swap(root, "one", {"web.yaml": manifest("web"), "team/api.yaml": manifest("api")})
        watched.until_names("web", "api")
        swap(root, "two", {"web.yaml": manifest("web", FREEZE), "team/api.yaml": manifest("api", FREEZE)})
        watched.until(lambda snapshot: edited(snapshot) and edited(snapshot, "api"), deadline=0.9)
        swap(root, "three", {"web.yaml": manifest("web")})
        watched.until_names("web")
        assert watched.latest.faults == ()


def git(folder: Path, *arguments: str) -> None:
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_checkout_of_200_files_comes_in_a_few_snapshots(tmp_path: Path) -> None:
    root = tmp_path / "clone"
    root.mkdir()
    git(root, "init", "-q")
    git(root, "commit", "-q", "--allow-empty", "-m", "empty")
    git(root, "checkout", "-q", "-b", "full")
    for number in range(200):
        path = root / f"team{number % 5}" / f"s{number}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(manifest(f"s{number}"))
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "full")
    git(root, "checkout", "-q", "-b", "edited")
    for number in range(200):
        (root / f"team{number % 5}" / f"s{number}.yaml").write_text(manifest(f"s{number}", FREEZE))
    git(root, "commit", "-q", "-a", "-m", "edited")
    git(root, "checkout", "-q", "main")
    with watching(root) as watched:
        git(root, "checkout", "-q", "full")
        watched.until(lambda snapshot: len(snapshot.documents) == 200)
        assert len(watched.delivered) <= 8
        git(root, "checkout", "-q", "edited")
        watched.until(lambda snapshot: all(edited(snapshot, f"s{number}") for number in range(200)))
        assert all(len(snapshot.documents) == 200 for _, snapshot in watched.delivered[-2:])
        assert watched.latest.faults == ()
        git(root, "checkout", "-q", "main")
        blocked = watched.until(lambda snapshot: snapshot.prune is not None)
        assert len(blocked.documents) == 200
        git(root, "checkout", "-q", "edited")
        watched.until(lambda snapshot: snapshot.prune is None)


def test_a_wave_of_removals_below_half_goes_and_above_half_is_held(tmp_path: Path) -> None:
    root = tmp_path / "manifests"
    root.mkdir()
    for number in range(20):
        (root / f"s{number}.yaml").write_text(manifest(f"s{number}"))
    with watching(root) as watched:
        for number in range(8):
            (root / f"s{number}.yaml").unlink()
        watched.until(lambda snapshot: len(snapshot.documents) == 12)
        for number in range(8, 16):
            (root / f"s{number}.yaml").unlink()
        blocked = watched.until(lambda snapshot: snapshot.prune is not None)
        assert blocked.prune is not None
        assert (len(blocked.documents), len(blocked.prune.keys)) == (12, 8)
        assert watched.source.confirm_prune(blocked.prune.hash) == {f"default/s{number}" for number in range(8, 16)}
        watched.until(lambda snapshot: len(snapshot.documents) == 4 and snapshot.prune is None)


def test_reading_the_folder_wakes_nothing(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    (root / "web.yaml").write_text(manifest("web"))
    inbox, identity = Inbox(SystemClock()), identify(root)
    watch = FolderWatch(inbox)
    assert identity is not None
    watch.begin(root, identity)
    try:
        for _ in range(20):
            (root / "web.yaml").read_text()
        (root / "api.yaml").write_text(manifest("api"))
        assert inbox.wake.wait(5)
        deadline = time.monotonic() + 5
        while (batch := inbox.collect(time.monotonic())) is None and time.monotonic() < deadline:
            inbox.wake.wait(0.01)
        assert batch == Batch(frozenset({"api.yaml"}))
    finally:
        watch.end()


def test_an_event_that_cannot_be_understood_still_brings_about_a_look() -> None:
    inbox = Inbox(SystemClock())
    Handler("/nowhere", inbox, WatchedSkills()).dispatch(FileClosedEvent(3))  # type: ignore[arg-type]  # what no watcher should send
    assert inbox.collect(time.monotonic()) == Batch()


def test_what_a_deaf_watch_missed_is_found_by_the_rescan_and_the_watch_renewed(tmp_path: Path) -> None:
    made: list[BaseObserver] = []

    def make() -> BaseObserver:
        made.append(Observer() if made else PollingObserver(timeout=3600))
        return made[-1]

    with watching(tmp_path, rescan_interval=0.3, make_observer=make) as watched:
        watched.write("a.yaml", manifest("a"))
        watched.until_names("a")
        began = time.monotonic()
        watched.write("b.yaml", manifest("b"))
        watched.until_names("a", "b")
        assert watched.delivered[-1][0] - began < 0.9
    assert len(made) >= 2


def test_a_baseline_is_taken_up_without_a_gap(tmp_path: Path) -> None:
    root = tmp_path / "manifests"
    root.mkdir()
    (root / "web.yaml").write_text(manifest("web"))
    (root / "api.yaml").write_text(manifest("api"))
    with watching(root) as watched:
        before = dict(watched.latest.documents)
    (root / "web.yaml").write_text("kind: [\n")
    (root / "api.yaml").unlink()
    with watching(root, before) as watched:
        first = watched.delivered[0][1]
        assert first.documents == before
        assert set(first.stale) == {key("web")}
        watched.until_names("web")


def test_a_document_gone_from_its_file_while_nobody_watched_goes_after_a_second(tmp_path: Path) -> None:
    root = tmp_path / "manifests"
    root.mkdir()
    path = root / "both.yaml"
    path.write_text(manifest("web") + "---\n" + manifest("api"))
    with watching(root) as watched:
        before: dict[Any, Document] = dict(watched.latest.documents)
    path.write_text(manifest("web"))
    with watching(root, before) as watched:
        assert {one.name for one in watched.delivered[0][1].documents} == {"web", "api"}
        began = watched.delivered[0][0]
        watched.until_names("web")
        assert watched.delivered[-1][0] - began >= 0.9


def test_callbacks_come_from_one_thread_and_one_that_fails_ends_nothing(tmp_path: Path) -> None:
    source = FolderSource(SourceConfig(tmp_path), admit_all, {}, SystemClock())
    watched = Watched(source, tmp_path)
    threads: set[str] = set()

    def failing(snapshot: Snapshot) -> None:
        threads.add(threading.current_thread().name)
        watched.take(snapshot)
        raise RuntimeError("the loop is at fault")

    source.start(failing)
    try:
        watched.until_names()
        watched.write("a.yaml", manifest("a"))
        watched.until_names("a")
        watched.write("b.yaml", manifest("b"))
        watched.until_names("a", "b")
    finally:
        source.stop()
    assert threads == {"source"}


def test_a_snapshot_that_was_not_taken_is_delivered_again_until_it_is(tmp_path: Path) -> None:
    source = FolderSource(SourceConfig(tmp_path), admit_all, {}, SystemClock())
    watched = Watched(source, tmp_path)
    failures = 2

    def failing_at_first(snapshot: Snapshot) -> None:
        nonlocal failures
        if snapshot.documents and failures:
            failures -= 1
            raise RuntimeError("the disk is full for a while")
        watched.take(snapshot)

    source.start(failing_at_first)
    try:
        watched.until_names()
        watched.write("a.yaml", manifest("a"))
        watched.until_names("a")
        assert failures == 0
        assert watched.stays(lambda _: len(watched.delivered) == 2, 1.5)
    finally:
        source.stop()


def test_stopping_ends_every_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with watching(tmp_path):
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before
