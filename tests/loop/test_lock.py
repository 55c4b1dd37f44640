"""One daemon a state folder, and which instance it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from controller.loop.lock import InstanceLock, instance_of, read_instance
from controller.model.errors import AlreadyRunningError, UsageError


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
