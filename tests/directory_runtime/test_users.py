"""Daemons that share a machine share no user: each host uid is one sandbox's, whichever state folder it is in."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from controller.model.errors import RuntimeFailure
from controller.model.observed import InstanceState
from controller.runtime.directory.config import DirectoryConfig
from controller.runtime.directory.inventory import Inventory
from controller.runtime.directory.uids import HostUids
from tests.directory_runtime.house import House, is_running, new_state_dir, until

pytestmark = pytest.mark.root


class Town:
    """Houses whose daemons claim from one folder of the test's own, and pick from a range of so many users."""

    def __init__(self, use_cgroups: bool) -> None:
        self.claims = new_state_dir()
        self._use_cgroups = use_cgroups
        self._houses: list[House] = []

    def house(self, users: int = 1000) -> House:
        first = 300_000
        range_: dict[str, Any] = {"first_uid": first, "last_uid": first + users - 1, "claims_dir": self.claims}
        house = House(new_state_dir(), use_cgroups=self._use_cgroups, **range_)
        self._houses.append(house)
        return house

    def claimed(self) -> dict[int, Path]:
        return {int(claim.name): claim.readlink() for claim in self.claims.iterdir()}

    def close(self) -> None:
        for house in self._houses:
            if house.state_dir.exists():
                house.close()
        shutil.rmtree(self.claims)


@pytest.fixture(params=["cgroups", "bare"])
def town(request: pytest.FixtureRequest) -> Iterator[Town]:
    made = Town(request.param == "cgroups")
    yield made
    made.close()


@pytest.fixture
def bare_town() -> Iterator[Town]:
    made = Town(use_cgroups=False)
    yield made
    made.close()


def user(house: House, id: str) -> int:
    """The user of the live main process."""
    return Path(f"/proc/{house.see(id).pid}").stat().st_uid


def test_two_daemons_give_no_user_twice(town: Town) -> None:
    first, second = town.house(users=6), town.house(users=6)
    ids = [(house, house.make("sleep", "100", name=f"web{n}")) for n in range(3) for house in (first, second)]
    users = [user(house, id) for house, id in ids]
    assert len(set(users)) == 6
    workspaces = [house.workspace(id).resolve() for house, id in ids]
    assert town.claimed() == dict(zip(users, workspaces, strict=True))


@pytest.mark.parametrize("how", ["stop", "kill", "remove"])
def test_ending_a_sandbox_ends_nothing_of_another_daemons(town: Town, how: str) -> None:
    first, second = town.house(), town.house()
    mine, other = first.make("sleep", "100"), second.make("env", "-i", "sleep", "100")
    pid = second.see(other).pid or 0
    arguments = (2.0,) if how == "stop" else ()
    getattr(first.runtime, how)(mine, *arguments)
    assert is_running(pid)
    assert second.state(other) is InstanceState.RUNNING
    assert second.run(other, "true")[0] == 0


def test_a_sandbox_keeps_its_user_over_restarts_of_its_daemon(town: Town) -> None:
    house = town.house()
    id = house.make("sleep", "100")
    before, pid = user(house, id), house.see(id).pid
    house.reopen().watch(lambda _: None)
    assert (user(house, id), house.see(id).pid) == (before, pid)
    house.runtime.kill(id)
    house.runtime.start(id)
    assert user(house, id) == before


def test_a_user_is_free_again_once_nothing_needs_it(bare_town: Town) -> None:
    house = bare_town.house()
    id = house.make("sleep", "100")
    given = user(house, id)
    house.runtime.remove(id)
    house.runtime.collect_garbage(lambda _: True)
    assert given in bare_town.claimed(), "its workspace is there still"
    house.workspaces.erase(id[:-2])
    house.runtime.collect_garbage(lambda _: True)
    assert bare_town.claimed() == {}


def test_a_user_that_was_given_up_is_not_the_next_one_given(bare_town: Town) -> None:
    house = bare_town.house()
    given = []
    for number in range(4):
        id = house.make("sleep", "100", uid=f"00000000-0000-4000-8000-00000000000{number}")
        given.append(user(house, id))
        house.runtime.remove(id)
        house.workspaces.erase(id[:-2])
        house.runtime.collect_garbage(lambda _: True)
    assert len(set(given)) == 4


def test_the_claims_of_a_state_folder_that_is_gone_are_taken_over(bare_town: Town) -> None:
    gone, house = bare_town.house(users=1), bare_town.house(users=1)
    gone.runtime.remove(gone.make("sleep", "100"))
    gone.close()
    assert len(bare_town.claimed()) == 1
    id = house.make("sleep", "100")
    assert bare_town.claimed() == {300_000: house.workspace(id).resolve()}


def test_a_user_with_a_process_is_not_given(bare_town: Town) -> None:
    house = bare_town.house(users=2)
    config = DirectoryConfig(
        house.state_dir, house.instance, first_uid=300_000, last_uid=300_001, claims_dir=bare_town.claims
    )
    uids = HostUids(config, Inventory(config.directories, house.instance))
    first = uids.allocate("one")
    uids.release("one")
    (bare_town.claims / str(first)).unlink()
    with stranger(first):
        assert uids.allocate("two") != first


@contextmanager
def stranger(user: int) -> Iterator[int]:
    """The pid of a process that no daemon started."""
    with subprocess.Popen(["env", "-i", "sleep", "100"], user=user, group=user) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def give_to_another(town: Town, user: int) -> None:
    """As after a reboot, where another daemon started first; it goes by the claim alone."""
    claim = town.claims / str(user)
    claim.unlink()
    claim.symlink_to(town.house().state_dir / "workspaces" / str(uuid.uuid4()))


def test_a_user_that_was_taken_meanwhile_is_changed_and_the_files_are_handed_over(town: Town) -> None:
    house = town.house()
    id = house.make("sh", "-c", "echo kept > $TMPDIR/file; cp $TMPDIR/file .; exec sleep 100")
    until((house.workspace(id) / "file").exists)
    before = user(house, id)
    house.runtime.kill(id)
    give_to_another(town, before)
    house.reopen().watch(lambda _: None)
    house.runtime.start(id)
    after = user(house, id)
    assert after != before
    assert (house.workspace(id) / "file").stat().st_uid == after
    assert house.run(id, "sh", "-c", "echo more >> $TMPDIR/file && cat $TMPDIR/file") == (0, "kept\nmore\n")
    assert house.run(id, "cat", "file")[0] == 0


def test_one_that_is_thawed_has_its_workspace_again_from_a_container_that_failed(town: Town) -> None:
    house = town.house()
    id = house.make("sleep", "600")
    assert house.run(id, "sh", "-c", "echo first > file")[0] == 0
    house.runtime.pause(id)
    house.workspaces.ensure(id[:-2], 20002, 20003)
    house.runtime.unpause(id)
    assert house.run(id, "sh", "-c", "echo more >> file; cat file") == (0, "first\nmore\n")


def test_what_runs_with_a_user_that_was_taken_is_ended_and_nothing_else(town: Town) -> None:
    house = town.house()
    id = house.make("sleep", "100")
    before, pid = user(house, id), house.see(id).pid or 0
    give_to_another(town, before)
    with stranger(before) as other:
        house.reopen().watch(lambda _: None)
        assert not is_running(pid)
        end = house.see(id).exit
        assert end is not None
        assert end.engine_restarted, "it is started again whatever its restartPolicy says"
        house.runtime.start(id)
        house.runtime.remove(id)
        assert is_running(other)


def test_a_record_without_a_user_never_makes_a_sandbox_of_root_or_takes_roots_processes(bare_town: Town) -> None:
    house = bare_town.house()
    id = house.make("sleep", "100")
    house.runtime.kill(id)
    file = house.folder(id) / "sandbox.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, "hostUid": None}))
    mine = subprocess.Popen(["sleep", "100"])
    try:
        house.reopen().watch(lambda _: None)
        house.runtime.kill(id)
        assert mine.poll() is None
        house.runtime.start(id)
        assert user(house, id) != 0
    finally:
        mine.kill()
        mine.wait()


def test_what_cannot_be_started_is_not_announced_as_an_end(town: Town) -> None:
    """It would be tried again at once, over and over."""
    house = town.house()
    id = house.make("sleep", "100")
    house.runtime.kill(id)
    woken: list[object] = []
    house.reopen().watch(woken.append)
    nowhere = house.workspace(id) / "file"
    nowhere.touch()
    record = json.loads((house.folder(id) / "sandbox.json").read_text())
    record["command"]["working_dir"] = "/workspace/file"
    (house.folder(id) / "sandbox.json").write_text(json.dumps(record))
    for _ in range(3):
        with pytest.raises(RuntimeFailure):
            house.runtime.start(id)
    other = house.make("true", name="other")
    house.end_of(other)
    until(lambda: bool(woken))
    assert all(key is None or "other" in str(key) for key in woken)
