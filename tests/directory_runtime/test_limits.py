"""Limits: what the kernel does about them, and what the contract says of it."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from controller.model.errors import ResizePendingError
from controller.model.observed import Assurance, ContractRow, InstanceState
from controller.model.spec import Limits
from controller.runtime.cgroup.limits import CgroupLimits
from controller.runtime.directory import launch
from controller.runtime.directory.contract import Evidence, contract_rows
from tests.directory_runtime.house import House, desired, limits, until

MIB = 1 << 20
BUSY = "while :; do :; done"
EAT = "x = bytearray({} << 20); import time; print('eaten', flush=True); time.sleep(100)"


@pytest.fixture
def grouped(house: House) -> House:
    """A house whose sandboxes have control groups."""
    if house.runtime.capabilities().updatable < {"memory", "cpu", "pids"}:
        pytest.skip("control groups cannot be written here")
    return house


def _contract(house: House, id: str, **spec: object) -> dict[str, ContractRow]:
    wanted = desired(**spec)  # type: ignore[arg-type]  # fields of a manifest
    return {row.limit: row for row in house.runtime.contract(house.see(id), wanted.spec)}


def test_past_the_memory_limit_the_kernel_kills_it(grouped: House) -> None:
    id = grouped.make("/usr/bin/python3", "-c", EAT.format(64), resources=limits(memory="24Mi"))
    ended = grouped.end_of(id).exit
    assert ended is not None
    assert (ended.code, ended.signal, ended.oom_killed) == (137, 9, True)
    grouped.runtime.start(id)
    assert grouped.end_of(id).exit != ended


def test_a_child_that_the_kernel_kills_shows_in_usage_though_the_sandbox_goes_on(grouped: House) -> None:
    id = grouped.make("sleep", "100", resources=limits(memory="24Mi"))
    code, _ = grouped.run(id, "/usr/bin/python3", "-c", EAT.format(64))
    assert code == 137
    usage = grouped.runtime.usage([grouped.see(id)])[id]
    assert usage.oom_kills >= 1
    assert grouped.state(id) is InstanceState.RUNNING


def test_past_the_pids_limit_it_cannot_fork(grouped: House) -> None:
    id = grouped.make("sleep", "100", resources=limits(pids=5))
    script = "for i in 1 2 3 4 5 6 7 8; do sleep 100 & done; wait"
    code, text = grouped.run(id, "sh", "-c", script, timeout=5)
    assert "fork" in text
    assert code != 0
    assert grouped.runtime.usage([grouped.see(id)])[id].pids in range(1, 6)


def test_cpu_is_throttled(grouped: House) -> None:
    id = grouped.make("sh", "-c", BUSY, resources=limits(cpu="100m"))
    first = grouped.runtime.usage([grouped.see(id)])[id]
    until(lambda: time.time() - first.at > 1)
    second = grouped.runtime.usage([grouped.see(id)])[id]
    assert 0.03 < (second.cpu_seconds - first.cpu_seconds) / (second.at - first.at) < 0.2


def test_limits_are_updated_in_place_up_and_down(grouped: House) -> None:
    id = grouped.make("sleep", "100", resources=limits(memory="64Mi", cpu="500m", pids=50))
    pid = grouped.see(id).pid
    for wanted in (Limits(128 * MIB, 1500, 100, None, 1024), Limits(32 * MIB, 250, 25, None, 1024)):
        grouped.runtime.update(id, wanted)
        seen = grouped.see(id)
        assert seen.limits == wanted
        assert seen.pid == pid
    grouped.runtime.kill(id)
    grouped.runtime.start(id)
    assert grouped.see(id).limits == wanted


def test_a_limit_below_present_use_waits_and_changes_nothing(grouped: House) -> None:
    id = grouped.make("/usr/bin/python3", "-c", EAT.format(40), resources=limits(memory="64Mi", cpu="1", pids=50))
    until(lambda: "eaten" in grouped.log(id))
    before = grouped.see(id).limits
    with pytest.raises(ResizePendingError):
        grouped.runtime.update(id, Limits(20 * MIB, 500, 20))
    assert grouped.see(id).limits == before


def test_a_limit_changed_from_outside_is_seen(grouped: House) -> None:
    id = grouped.make("sleep", "100", resources=limits(pids=50))
    Path(f"{grouped.group(id).paths.pids}/pids.max").write_text("7")
    assert grouped.see(id).limits.pids == 7


def test_memory_that_is_no_whole_page_is_no_drift(grouped: House) -> None:
    id = grouped.make("sleep", "100", resources=limits(memory="50000001"))
    assert grouped.see(id).limits.memory == 50_000_001


def test_a_thaw_from_outside_is_seen(grouped: House) -> None:
    id = grouped.make("sleep", "100")
    grouped.runtime.pause(id)
    grouped.group(id).thaw()
    until(lambda: grouped.state(id) is InstanceState.RUNNING)


def test_the_contract_is_read_back_from_group_and_process(grouped: House) -> None:
    resources = limits(memory="64Mi", cpu="500m", pids=20, openFiles=100)
    id = grouped.make("sleep", "100", resources=resources)
    rows = _contract(grouped, id, resources=resources)
    version = rows["memory"].mechanism.split()[1]
    assert rows["memory"].state is rows["cpu"].state is rows["pids"].state is Assurance.ENFORCED
    assert [rows[name].value for name in ("memory", "cpu", "pids", "openFiles")] == ["64Mi", "500m", "20", "100"]
    assert rows["pids"] == ContractRow("pids", Assurance.ENFORCED, f"cgroup {version} pids.max", "20")
    assert rows["disk"].state is Assurance.MEASURED
    assert rows["swap"].value == "0"
    grouped.runtime.update(id, Limits(128 * MIB, 500, 30, None, 100))
    assert _contract(grouped, id, resources=resources)["memory"].value == "128Mi"


def test_without_groups_limits_are_measured_and_never_called_enforced(bare_house: House) -> None:
    resources = limits(memory="64Mi", cpu="500m", pids=20)
    id = bare_house.make("sleep", "100", resources=resources)
    rows = _contract(bare_house, id, resources=resources)
    for name, value in (("memory", "64Mi"), ("cpu", "500m"), ("pids", "20")):
        assert (rows[name].state, rows[name].mechanism, rows[name].value) == (Assurance.MEASURED, "tick", value)
        assert "delegate" in rows[name].reason
    able = bare_house.runtime.capabilities()
    assert (able.updatable, able.throttle, able.freeze) == (frozenset(), False, True)


def test_a_group_that_the_sandboxes_own_user_may_change_is_measured_and_never_called_enforced() -> None:
    group = CgroupLimits(64 * MIB, 0, 500, 20, frozenset({"memory", "swap", "cpu", "pids"}))
    wanted = desired(resources=limits(memory="64Mi", cpu="500m", pids=20)).spec
    delegated = Evidence(group, 2, None, "", host_uid=None)
    rows = {row.limit: row for row in contract_rows(delegated, wanted)}
    for name, value in (("memory", "64Mi"), ("cpu", "500m"), ("pids", "20")):
        assert (rows[name].state, rows[name].value) == (Assurance.MEASURED, value)
        assert "may change its group" in rows[name].reason
    rows = {row.limit: row for row in contract_rows(replace(delegated, host_uid=200_000), wanted)}
    assert {rows[name].state for name in ("memory", "swap", "cpu", "pids")} == {Assurance.ENFORCED}


def test_what_a_directory_cannot_keep_is_said(any_house: House) -> None:
    rows = _contract(any_house, any_house.make("sleep", "100"))
    for name in ("network", "filesystem", "seccomp"):
        assert rows[name].state is Assurance.UNENFORCEABLE
        assert rows[name].reason
    assert rows["capabilities"].state is Assurance.ENFORCED
    assert rows["user"].state is (Assurance.ENFORCED if os.geteuid() == 0 else Assurance.UNENFORCEABLE)


def test_a_sandbox_without_a_process_has_a_contract_too(any_house: House) -> None:
    rows = _contract(any_house, any_house.make())
    assert rows["openFiles"].state is Assurance.ENFORCED
    assert "each command" in rows["openFiles"].reason


FILL = """
import ctypes, pathlib
pathlib.Path("/dev/shm/kept").write_bytes(bytes(20 << 20))
libc = ctypes.CDLL(None)
assert libc.shmget(0, ctypes.c_size_t(4096), 0o1600) >= 0
libc.msgget(0, 0o1600)
print(len(open("/proc/sysvipc/shm").readlines()), flush=True)
"""


def _left_on_the_machine(uid: int) -> list[str]:
    """Shared memory and IPC objects of a user that everybody can see."""
    files = [str(path) for path in Path("/dev/shm").iterdir() if path.stat().st_uid == uid]
    objects = [line for kind in ("shm", "msg") for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()]
    return files + [line for line in objects if str(uid) in line.split()]


@pytest.mark.root
def test_memory_that_it_shares_ends_with_it(any_house: House) -> None:
    id = any_house.make("/usr/bin/python3", "-c", FILL, resources=limits(memory="64Mi"))
    uid = any_house.workspace(id).stat().st_uid
    for _ in range(4):
        ended = any_house.end_of(id).exit
        assert ended is not None
        assert ended.code == 0, any_house.log(id)
        any_house.runtime.start(id)
    any_house.end_of(id)
    assert any_house.log(id) == "2\n" * 5
    assert _left_on_the_machine(uid) == []


@pytest.mark.root
def test_its_shared_memory_holds_half_of_its_memory(any_house: House) -> None:
    id = any_house.make(resources=limits(memory="64Mi"))
    code, text = any_house.run(id, "sh", "-c", "df -k /dev/shm | tail -n 1; head -c 40M /dev/zero > /dev/shm/x")
    assert code != 0
    assert text.split()[1] == str(32 << 10)
    assert "No space left" in text


@pytest.mark.root
def test_memory_that_outlives_its_group_is_not_called_enforced(grouped: House, monkeypatch: pytest.MonkeyPatch) -> None:
    resources = limits(memory="64Mi")
    monkeypatch.setattr(launch, "may_mount", lambda: False)
    id = grouped.make("sleep", "100", resources=resources)
    row = _contract(grouped, id, resources=resources)["memory"]
    assert (row.state, row.value) == (Assurance.MEASURED, "64Mi")
    assert "/dev/shm, IPC objects" in row.reason
    monkeypatch.undo()
    grouped.runtime.kill(id)
    grouped.runtime.start(id)
    assert _contract(grouped, id, resources=resources)["memory"].state is Assurance.ENFORCED


@pytest.mark.root
def test_without_groups_a_fork_bomb_of_a_user_of_its_own_is_bounded(bare_house: House) -> None:
    id = bare_house.make("sleep", "100", resources=limits(pids=6))
    code, text = bare_house.run(id, "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 100 & done; wait", timeout=5)
    assert code != 0
    assert "fork" in text


def test_capabilities_tell_what_this_machine_can_do(grouped: House) -> None:
    able = grouped.runtime.capabilities()
    assert (able.runtime, able.available, able.networks, able.freeze, able.throttle) == (
        "directory",
        True,
        False,
        True,
        True,
    )
    assert able.max_cpu == len(os.sched_getaffinity(0)) * 1000
