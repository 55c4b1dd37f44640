"""What a process of a directory sandbox is: its user, its rights, its environment, what it can reach."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
from pathlib import Path

import pytest

from controller.model.errors import EnvironmentFailedError
from controller.runtime.directory import launch
from controller.runtime.directory.config import DirectoryConfig
from controller.runtime.directory.inventory import Inventory
from controller.runtime.directory.uids import HostUids
from tests.directory_runtime.house import House, new_state_dir, until


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _environment(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if entry)


def test_no_new_privileges_no_core_and_the_limit_of_open_files(house: House) -> None:
    pid = house.see(house.make("sleep", "100", resources={"limits": {"openFiles": 77}})).pid
    assert _status(pid or 0)["NoNewPrivs"] == "1"
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert "Max open files            77                   77" in limits
    assert "Max core file size        0                    0" in limits


def test_the_environment_is_built_from_nothing(house: House) -> None:
    os.environ["LEAKED_FROM_THE_DAEMON"] = "yes"
    try:
        env = [{"name": "A", "value": "1"}, {"name": "EMPTY", "value": ""}]
        id = house.make("sleep", "100", env=env)
    finally:
        del os.environ["LEAKED_FROM_THE_DAEMON"]
    assert _environment(house.see(id).pid or 0) == {
        "PATH": launch.PATH,
        "HOME": str(house.workspace(id)),
        "LANG": "C.UTF-8",
        "TMPDIR": str(house.folder(id) / "tmp"),
        "A": "1",
        "EMPTY": "",
        "SANDKEEPER_SANDBOX": id,
    }


def test_neither_environment_nor_paths_tell_its_name(house: House) -> None:
    id = house.make("sleep", "100", name="telltale")
    pid = house.see(id).pid
    assert b"telltale" not in Path(f"/proc/{pid}/environ").read_bytes()
    named = {path.name for path in house.state_dir.rglob("*") if path.is_file() and b"telltale" in path.read_bytes()}
    assert named == {"sandbox.json"}
    assert not [path for path in house.state_dir.rglob("*") if "telltale" in str(path)]


def test_a_secret_is_in_its_environment_and_in_no_file(house: House) -> None:
    secret = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}}
    id = house.make("sleep", "100", env=[secret])
    assert _environment(house.see(id).pid or 0)["TOKEN"] == "value of api/token"
    assert house.run(id, "sh", "-c", "echo $TOKEN") == (0, "value of api/token\n")
    assert not [path for path in house.state_dir.rglob("*") if path.is_file() and b"value of api" in path.read_bytes()]


def test_only_the_controller_reads_the_record(house: House) -> None:
    id = house.make("sh", "-c", "echo output; umask; sleep 100")
    until(lambda: "0077" in house.log(id))
    modes = {path.name: path.stat().st_mode & 0o777 for path in house.folder(id).iterdir() if path.is_file()}
    assert set(modes.values()) == {0o600}
    assert modes.keys() == {"sandbox.json", "run.json", "exit.json", "output.log"}


@pytest.mark.root
def test_each_sandbox_has_a_user_of_its_own_without_any_right(house: House) -> None:
    first, second = house.make("sleep", "100"), house.make("sleep", "100", name="other")
    status = _status(house.see(first).pid or 0)
    uid = status["Uid"].split()[0]
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {uid}
    assert 200_000 <= int(uid) <= 265_535
    assert status["Groups"] == ""
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {0}
    assert _status(house.see(second).pid or 0)["Uid"].split()[0] != uid
    assert house.workspace(first).stat().st_uid == int(uid)
    assert house.workspace(first).stat().st_mode & 0o777 == 0o700


@pytest.mark.root
def test_one_sandbox_cannot_look_into_another_nor_into_its_own_record(house: House) -> None:
    first, second = house.make(), house.make(name="other")
    assert house.run(first, "sh", "-c", "echo secret > file")[0] == 0
    for path in (house.workspace(first) / "file", house.folder(first) / "tmp", house.folder(second) / "sandbox.json"):
        code, _ = house.run(second, "ls" if path.is_dir() else "cat", str(path))
        assert code != 0, path
    assert house.run(second, "sh", "-c", f"echo x > {house.folder(second)}/x")[0] != 0
    assert house.run(second, "sh", "-c", "echo x > $TMPDIR/x")[0] == 0


@pytest.mark.root
def test_both_slots_have_the_same_user(house: House) -> None:
    uid = str(uuid.uuid4())
    first = house.make("sleep", "100", uid=uid)
    second = house.make("sleep", "100", uid=uid, slot="b")
    users = {_status(house.see(id).pid or 0)["Uid"] for id in (first, second)}
    assert len(users) == 1
    house.runtime.remove(first)
    house.runtime.remove(second)
    other = house.make("sleep", "100", name="other")
    assert _status(house.see(other).pid or 0)["Uid"] not in users, "the workspace that is left has that user still"
    again = house.make("sleep", "100", uid=uid)
    assert {_status(house.see(again).pid or 0)["Uid"]} == users


@pytest.mark.root
def test_users_of_the_machine_are_never_taken(house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    subuid = tmp_path / "subuid"
    subuid.write_text("somebody:1:4\nbroken\n")
    monkeypatch.setattr("controller.runtime.directory.uids._SUBORDINATE", (subuid, tmp_path / "missing"))
    config = DirectoryConfig(house.state_dir, house.instance, first_uid=0, last_uid=1000)
    given = HostUids(config, Inventory(config.directories, house.instance)).allocate(str(uuid.uuid4()))
    assert given > 4
    assert not Path("/etc/passwd").read_text().count(f":{given}:")


@pytest.mark.root
def test_a_state_folder_below_a_closed_one_is_shown_to_its_sandboxes_alone() -> None:
    top = new_state_dir()
    (top / "other").write_text("not for sandboxes")
    state = top / "state"
    state.mkdir()
    top.chmod(0o700)
    house = House(state)
    try:
        id = house.make("sh", "-c", "echo mine > file; pwd; touch $TMPDIR/x && echo made; sleep 100")
        until(lambda: "made" in house.log(id))
        workspace = house.workspace(id)
        assert house.log(id).splitlines() == [str(workspace), "made"]
        assert (workspace / "file").read_text() == "mine\n"
        code, text = house.run(id, "sh", "-c", f"cat {workspace}/file; ls {top} {state}; echo x > {top}/x")
        assert code != 0
        assert text.startswith("mine\n")
        assert "other" not in text
        assert not (top / "x").exists()
        assert f" {workspace} " not in Path("/proc/self/mountinfo").read_text()
    finally:
        house.close()
        (top / "other").unlink()
        top.rmdir()


@pytest.mark.root
def test_temporary_places_are_its_own_and_count_as_its_disk() -> None:
    state = Path(tempfile.mkdtemp(prefix="sandkeeper-test-", dir="/opt"))
    state.chmod(0o755)
    house = House(state)
    try:
        id = house.make("sh", "-c", "head -c 3000000 /dev/zero > /tmp/main; echo made; sleep 100")
        until(lambda: "made" in house.log(id))
        assert house.run(id, "sh", "-c", "echo more > /var/tmp/exec; ls /tmp; ls $TMPDIR") == (0, "exec\nmain\n" * 2)
        assert {path.name for path in (house.folder(id) / "tmp").iterdir()} == {"main", "exec"}
        assert not Path("/tmp/main").exists()
        until(lambda: (house.runtime.usage([house.see(id)])[id].disk or 0) > 3_000_000)
    finally:
        house.close()


@pytest.mark.root
def test_the_places_above_its_own_folders_stay_the_machines(house: House) -> None:
    shared = f"/tmp/{uuid.uuid4()}"
    code, text = house.run(
        house.make(), "sh", "-c", f"echo here > {shared}; cat $HOME/../../directories/*/sandbox.json"
    )
    assert code != 0, text
    assert Path(shared).read_text() == "here\n"
    Path(shared).unlink()


@pytest.mark.root
def test_a_view_of_its_own_needs_none_of_the_few_files_that_it_may_have_open() -> None:
    top = new_state_dir()
    (top / "state").mkdir()
    top.chmod(0o700)
    house = House(top / "state")
    try:
        few = {"limits": {"openFiles": 16}}
        ids = [house.make("sleep", "100", name=f"s{number}", resources=few) for number in range(8)]
        assert [house.run(id, "sh", "-c", "ulimit -n; echo x > x && cat x") for id in ids] == [(0, "16\nx\n")] * 8
    finally:
        house.close()
        top.rmdir()


@pytest.mark.root
def test_a_state_folder_that_is_a_link_into_a_closed_one_works_too() -> None:
    top, links = new_state_dir(), new_state_dir()
    (top / "state").mkdir()
    top.chmod(0o700)
    (links / "state").symlink_to(top / "state")
    house = House(links / "state")
    try:
        id = house.make("sh", "-c", "echo made > $HOME/file; sleep 100")
        until((house.workspace(id) / "file").exists)
        assert house.run(id, "sh", "-c", "cat $HOME/file") == (0, "made\n")
    finally:
        house.empty()
        shutil.rmtree(top)
        shutil.rmtree(links)


@pytest.mark.root
def test_where_it_cannot_be_shown_the_error_names_the_closed_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    top = new_state_dir()
    (top / "state").mkdir()
    top.chmod(0o700)
    house = House(top / "state")
    monkeypatch.setattr(launch, "may_mount", lambda: False)
    try:
        with pytest.raises(EnvironmentFailedError, match=rf"may not pass through {top}: allow it \(chmod o\+x\)"):
            house.make("sleep", "100")
    finally:
        house.close()
        top.rmdir()


def test_the_record_says_what_it_was_made_from(house: House) -> None:
    id = house.make("sleep", "100", resources={"limits": {"memory": "1Gi"}})
    record = json.loads((house.folder(id) / "sandbox.json").read_text())
    assert record["owner"]["key"] == ["Sandbox", "default", "web"]
    assert record["owner"]["instance"] == house.instance
    assert record["limits"]["memory"] == 1 << 30
