"""A folder that does not answer: it is told, and holds nothing else up."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.model.clock import SystemClock
from controller.model.errors import StateError
from controller.source import folder, scanner
from controller.source.config import SourceConfig
from controller.source.folder import FolderSource
from controller.source.listing import Listing, list_manifests
from controller.source.looks import PATIENCE
from tests.source.helpers import admit_all, manifest
from tests.source.watched import Watched
from tests.support.hanging import hanging

SOON = 10.0


class LeapingClock(SystemClock):
    """The machine's clock, put forward by a test."""

    leapt = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.leapt


@dataclass
class Disk:
    """Lists the folder, but waits for ever while it is stuck."""

    stuck: threading.Event = field(default_factory=threading.Event)
    waited_for: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def list(self, root: Path, skills: Collection[str]) -> Listing:
        if self.stuck.is_set():
            self.waited_for.set()
            self.let_go.wait()
        return list_manifests(root, skills)


@pytest.fixture
def clock() -> LeapingClock:
    return LeapingClock()


@pytest.fixture
def watched(tmp_path: Path, clock: LeapingClock) -> Iterator[Watched]:
    """A source over a folder with one sandbox."""
    root = tmp_path / "manifests"
    root.mkdir()
    (root / "a.yaml").write_text(manifest("a"))
    source = FolderSource(SourceConfig(root), admit_all, {}, clock)
    watched = Watched(source, root)
    source.start(watched.take)
    watched.until_names("a")
    yield watched
    source.stop()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, watched: Watched) -> Iterator[Disk]:
    disk = Disk()
    monkeypatch.setattr(scanner, "list_manifests", disk.list)
    yield disk
    disk.let_go.set()


def test_a_folder_that_does_not_answer_is_told_after_a_while_and_forgotten_when_it_does(
    watched: Watched, clock: LeapingClock, disk: Disk
) -> None:
    assert watched.source.trouble() == ""
    disk.stuck.set()
    watched.source.rescan()
    assert disk.waited_for.wait(SOON)
    assert watched.source.trouble() == ""
    clock.leapt = PATIENCE + 1
    assert f"{watched.root} has not answered for 31 s and no edit is seen" in watched.source.trouble()
    assert watched.source.alive()
    disk.stuck.clear()
    disk.let_go.set()
    watched.write("b.yaml", manifest("b"))
    watched.until_names("a", "b")
    assert watched.source.trouble() == ""


def test_it_holds_up_neither_a_confirmation_nor_the_end(
    watched: Watched, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "CONFIRM_SECONDS", 0.05)
    monkeypatch.setattr(folder, "STOP_SECONDS", 0.05)
    disk.stuck.set()
    watched.source.rescan()
    assert disk.waited_for.wait(SOON)
    with pytest.raises(StateError, match="is being looked at; try again"):
        watched.source.confirm_prune(None)
    watched.source.stop()
    assert watched.source.alive(), "the thread is left behind"


def test_a_look_that_fails_is_told_until_one_succeeds(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    failed, mended = threading.Event(), threading.Event()

    def fail(root: Path, skills: Collection[str]) -> Listing:
        if mended.is_set():
            return list_manifests(root, skills)
        failed.set()
        raise RuntimeError("a bug")

    monkeypatch.setattr(scanner, "list_manifests", fail)
    for _ in range(2):  # the first is over when the second begins
        failed.clear()
        watched.source.rescan()
        assert failed.wait(SOON)
    assert watched.source.trouble().startswith(f"{watched.root} could not be looked at: RuntimeError: a bug")
    mended.set()
    watched.write("b.yaml", manifest("b"))
    watched.until_names("a", "b")
    assert watched.source.trouble() == ""


@pytest.mark.root
def test_a_real_file_system_that_does_not_answer_is_told_and_holds_up_no_end(
    watched: Watched, clock: LeapingClock
) -> None:
    with hanging(watched.root):
        for _ in range(100):
            clock.leapt += PATIENCE + 1
            if "has not answered" in watched.source.trouble():
                break
            time.sleep(0.1)
        assert "check its file system" in watched.source.trouble()
        assert watched.source.alive()
        assert {key.name for key in watched.source.snapshot().documents} == {"a"}
        watched.source.stop()
        assert watched.source.alive(), "the thread is left behind"
