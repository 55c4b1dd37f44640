"""What is in the state folder, in whatever state it is found."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from typing import Any

import pytest

from controller.model.errors import NotOwnedError, RuntimeFailure
from controller.model.identity import sandbox_key
from controller.model.observed import InstanceState
from controller.runtime.directory.atomic import read_json
from tests.directory_runtime.house import House, desired, owner_of, until

KEY = sandbox_key("default", "web")


def test_a_restarted_daemon_sees_the_same(any_house: House) -> None:
    id = any_house.make("sleep", "100")
    before = any_house.see(id)
    any_house.reopen()
    assert any_house.runtime.list() == [before]
    assert any_house.runtime.inspect(KEY) == (before,)


def test_a_half_made_folder_is_not_seen_and_is_made_anew(house: House) -> None:
    wanted, uid = desired("sleep", "100"), str(uuid.uuid4())
    folder = house.folder(f"{uid}-a")
    (folder / "tmp").mkdir(parents=True)
    (folder / "tmp" / "left").touch()
    assert house.runtime.list() == []
    id = house.runtime.create(wanted, owner_of(wanted, house.instance, uid))
    assert house.state(id) is InstanceState.CREATED
    assert not (folder / "tmp" / "left").exists()


def test_a_record_that_cannot_be_read_is_not_guessed_about(house: House) -> None:
    wanted, uid = desired("sleep", "100"), str(uuid.uuid4())
    folder = house.folder(f"{uid}-a")
    folder.mkdir(parents=True)
    (folder / "sandbox.json").write_text("{")
    assert house.runtime.list() == []
    with pytest.raises(RuntimeFailure, match=r"move .* away"):
        house.runtime.create(wanted, owner_of(wanted, house.instance, uid))
    shutil.rmtree(folder)


def test_another_instances_sandbox_is_neither_seen_nor_touched(house: House) -> None:
    id = house.make("sleep", "100")
    pid = house.see(id).pid
    path = house.folder(id) / "sandbox.json"
    original = path.read_text()
    record = json.loads(original)
    record["owner"]["instance"] = "somebody-else"
    path.write_text(json.dumps(record))
    os.utime(house.folder(id))
    assert house.runtime.list() == []
    assert house.runtime.inspect(KEY) == ()
    for mutate in (house.runtime.kill, house.runtime.remove, house.runtime.pause, house.runtime.start):
        with pytest.raises(NotOwnedError):
            mutate(id)
    path.write_text(original)
    os.utime(house.folder(id))
    assert house.see(id).pid == pid


def test_a_folder_removed_by_hand_is_gone_at_the_next_look(house: House) -> None:
    id = house.make()
    assert house.runtime.inspect(KEY)
    shutil.rmtree(house.folder(id))
    assert house.runtime.inspect(KEY) == ()
    assert house.runtime.list() == []


def test_a_change_right_after_a_look_is_not_missed(house: House) -> None:
    id = house.make()
    for _ in range(20):
        assert house.runtime.list()[0].state is InstanceState.RUNNING
        house.runtime.stop(id, 1)
        assert house.runtime.list()[0].state is InstanceState.EXITED
        house.runtime.start(id)


def test_garbage_of_nobody_goes_and_instances_stay(house: House) -> None:
    id = house.make("sleep", "100")
    directories = house.state_dir / "directories"
    removed, staged = directories / ".removed-1", directories / ".staged-old-1"
    fresh = directories / ".staged-new-1"
    for folder in (removed, staged, fresh):
        (folder / "venv").mkdir(parents=True)
    os.utime(staged, (0, 0))
    other = house.make("sleep", "100", name="other")
    shutil.rmtree(house.folder(other))
    house.runtime.collect_garbage(lambda _: True)
    assert not removed.exists()
    assert not staged.exists()
    assert fresh.exists()
    assert house.state(id) is InstanceState.RUNNING
    house.runtime.collect_garbage(lambda _: False)
    assert house.state(id) is InstanceState.RUNNING


def test_nothing_is_read_again_that_has_not_changed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = {house.make(name=f"s{number}") for number in range(4)}
    read: list[str] = []

    def reading(path: str) -> dict[str, Any] | None:
        read.append(path)
        return read_json(path)

    monkeypatch.setattr("controller.runtime.directory.inventory.read_json", reading)

    def looked() -> bool:
        read.clear()
        assert {seen.id for seen in house.runtime.list()} == ids
        return not read

    until(looked)
    house.runtime.inspect(sandbox_key("default", "s0"))
    assert read == []
