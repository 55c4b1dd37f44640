"""Usage, by control group and without."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from controller.model.observed import Usage
from controller.runtime import procfs
from tests.directory_runtime.house import House, until

BUSY = "/usr/bin/python3 -c 'x = bytearray(30 << 20)\nwhile True: pass' & sleep 100 & sleep 100 & wait"


def _usage(house: House, id: str) -> Usage:
    return house.runtime.usage([house.see(id)])[id]


def test_cpu_memory_and_processes_are_measured(any_house: House) -> None:
    id = any_house.make("sh", "-c", BUSY)
    until(lambda: _usage(any_house, id).pids == 4 and _usage(any_house, id).working_set > 30 << 20)
    first = _usage(any_house, id)
    until(lambda: _usage(any_house, id).cpu_seconds > first.cpu_seconds + 0.2)
    assert abs(_usage(any_house, id).at - time.time()) < 1


def test_cpu_never_falls_though_processes_end(bare_house: House) -> None:
    id = bare_house.make()
    session = bare_house.run
    session(id, "/usr/bin/python3", "-c", "import time\nwhile time.process_time() < 0.3: pass")
    before = _usage(bare_house, id).cpu_seconds
    assert _usage(bare_house, id).cpu_seconds >= before


def test_a_new_run_begins_at_zero(any_house: House) -> None:
    id = any_house.make("sh", "-c", "while :; do :; done")
    until(lambda: _usage(any_house, id).cpu_seconds > 0.3)
    any_house.runtime.kill(id)
    any_house.runtime.start(id)
    assert _usage(any_house, id).cpu_seconds < 0.2


def test_the_workspace_and_the_temporary_folder_are_its_disk(any_house: House) -> None:
    script = "dd if=/dev/zero of=a bs=1k count=512 && dd if=/dev/zero of=$TMPDIR/b bs=1k count=512; sleep 100"
    id = any_house.make("sh", "-c", script)
    until(lambda: (any_house.folder(id) / "tmp" / "b").exists() and "512+0" in any_house.log(id).split("\n")[-4:][0])
    until(lambda: (_usage(any_house, id).disk or 0) >= 1 << 20)
    assert (_usage(any_house, id).disk_age or 0) >= 0


def test_one_that_is_down_is_left_out(any_house: House) -> None:
    id = any_house.make("true")
    any_house.end_of(id)
    assert any_house.runtime.usage([any_house.see(id)]) == {}


def test_many_without_groups_take_one_pass_over_proc(bare_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        bare_house.make("sleep", "100", name=f"s{number}")
    passes = _counted(monkeypatch)
    found = bare_house.runtime.usage(bare_house.runtime.list())
    assert [usage.pids for usage in found.values()] == [1] * 5
    assert passes() == 1


def test_with_groups_none_is_taken(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    if not house.runtime.capabilities().updatable >= {"memory", "pids"}:
        pytest.skip("control groups cannot be written here")
    house.make("sleep", "100")
    passes = _counted(monkeypatch)
    assert [usage.mechanism for usage in house.runtime.usage(house.runtime.list()).values()] == ["cgroup"]
    assert passes() == 0


def test_no_descriptor_is_left_of_what_was_removed(house: House) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - iterdir would hold one open
    id = house.make("sleep", "100")
    _usage(house, id)
    house.runtime.remove(id)
    assert house.runtime.usage([]) == {}
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def _counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    counted: list[str] = []
    snapshot = procfs.ProcessTable.snapshot

    def counting(proc: str = "/proc") -> procfs.ProcessTable:
        counted.append(proc)
        return snapshot(proc)

    monkeypatch.setattr(procfs.ProcessTable, "snapshot", counting)
    return lambda: len(counted)
