"""One daemon a state folder, and which instance it is."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from controller.bootstrap import build
from controller.config import DaemonConfig
from controller.loop.lock import InstanceLock, instance_of, read_instance
from controller.loop.workers import Workers
from controller.model.errors import AlreadyRunningError, UsageError
from controller.report.redaction import SecretRedactor


def test_the_second_daemon_is_refused_by_name_and_let_in_after_the_first(tmp_path: Path) -> None:
    first, second = InstanceLock(tmp_path), InstanceLock(tmp_path)
    first.acquire()
    with pytest.raises(AlreadyRunningError, match=f"pid {os.getpid()}"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_child_that_outlives_the_daemon_does_not_hold_its_lock(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path)
    lock.acquire()
    command = [sys.executable, "-c", "print('up', flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        lock.release()
        second = InstanceLock(tmp_path)
        second.acquire()
        second.release()
        child.communicate(b"\n")


@pytest.mark.parametrize("is_done", [True, False])
def test_a_daemon_gives_its_folder_up_only_once_its_work_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    monkeypatch.setattr(Workers, "join", lambda *_: is_done)
    state_dir, engine = tmp_path / "state", "unix:///nonexistent/docker.sock"
    config = DaemonConfig(manifests=tmp_path, state_dir=state_dir, listen="127.0.0.1:0", engine=engine)
    application, following = build(config, SecretRedactor()), InstanceLock(state_dir)
    application.start()
    application.stop()
    with nullcontext() if is_done else pytest.raises(AlreadyRunningError):
        following.acquire()
    following.release()
    application.lock.release()


def test_the_instance_is_derived_once_and_kept_when_the_folder_moves(tmp_path: Path) -> None:
    before = tmp_path / "before"
    before.mkdir()
    assert read_instance(before) == instance_of(before)
    kept = instance_of(before)
    moved = before.rename(tmp_path / "after")
    assert instance_of(moved) == kept


def test_a_given_instance_is_kept_and_another_refused(tmp_path: Path) -> None:
    assert instance_of(tmp_path, "blue") == "blue"
    assert instance_of(tmp_path) == "blue"
    with pytest.raises(UsageError, match="blue"):
        instance_of(tmp_path, "green")
    with pytest.raises(UsageError, match="not usable"):
        instance_of(tmp_path, "no spaces")
