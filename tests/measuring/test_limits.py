"""Limits put in force by the kernel, and read back from it."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.model.errors import InstanceNotFoundError, ResizePendingError
from controller.model.spec import Limits
from controller.runtime.cgroup import files
from controller.runtime.cgroup import limits as limits_module
from controller.runtime.cgroup.group import CgroupGroup
from controller.runtime.cgroup.hierarchy import CgroupPaths
from controller.runtime.cgroup.limits import CgroupLimits, apply_cpu, apply_limits, read_limits
from tests.measuring.machine import line_of, running, wait_until

MIB = 1 << 20
ALL = frozenset({"memory", "swap", "cpu", "pids"})


def in_force(group: CgroupGroup) -> tuple[int | None, int | None, int | None]:
    limits = read_limits(group.paths)
    return limits.memory, limits.cpu, limits.pids


@contextmanager
def held_in_memory(group: CgroupGroup) -> Iterator[None]:
    """64 MiB of the group's in a file of a tmpfs."""
    path = Path("/dev/shm/sandkeeper-test")
    try:
        with running("dd", "if=/dev/zero", f"of={path}", "bs=1M", "count=64", group=group) as process:
            assert process.wait() == 0
        yield
    finally:
        path.unlink(missing_ok=True)


@pytest.mark.root
def test_a_new_group_has_no_limits(group: CgroupGroup) -> None:
    assert in_force(group) == (None, None, None)


@pytest.mark.root
def test_limits_are_read_back_as_they_were_applied(group: CgroupGroup) -> None:
    group.apply(Limits(memory=64 * MIB, cpu=1500, pids=32))
    assert in_force(group) == (64 * MIB, 1500, 32)


@pytest.mark.root
def test_swap_is_closed_with_memory_where_the_kernel_counts_it(group: CgroupGroup) -> None:
    group.apply(Limits(memory=64 * MIB))
    limits = read_limits(group.paths)
    if "swap" not in limits.known:
        pytest.skip("this kernel does not count swap")
    assert limits.swap == 0


@pytest.mark.root
@pytest.mark.parametrize("memory", [128 * MIB, 32 * MIB, None], ids=["up", "down", "away"])
def test_a_limit_can_be_raised_lowered_and_taken_away(group: CgroupGroup, memory: int | None) -> None:
    group.apply(Limits(memory=64 * MIB, cpu=500, pids=32))
    cpu, pids = (None, None) if memory is None else (memory // MIB, memory // MIB)
    group.apply(Limits(memory=memory, cpu=cpu, pids=pids))
    assert in_force(group) == (memory, cpu, pids)


@pytest.mark.root
def test_memory_below_what_is_in_use_is_put_off_and_nothing_is_changed(group: CgroupGroup) -> None:
    before = Limits(memory=256 * MIB, cpu=500, pids=32)
    group.apply(before)
    hold = f"held = b'x' * {64 * MIB}; print('ready', flush=True); import time; time.sleep(60)"
    with running(sys.executable, "-S", "-c", hold, group=group) as process:
        assert line_of(process) == "ready"
        with pytest.raises(ResizePendingError, match="until usage falls"):
            group.apply(Limits(memory=32 * MIB, cpu=250, pids=16))
        assert in_force(group) == (before.memory, before.cpu, before.pids)
        assert read_limits(group.paths).swap == 0
        assert process.poll() is None


@pytest.mark.root
def test_files_in_memory_count_as_in_use(group: CgroupGroup) -> None:
    """They look like cache and cannot be dropped."""
    group.apply(Limits(memory=256 * MIB, pids=32))
    with held_in_memory(group), pytest.raises(ResizePendingError):
        group.apply(Limits(memory=32 * MIB, pids=16))
    assert in_force(group) == (256 * MIB, None, 32)


@pytest.mark.root
def test_what_only_the_kernel_finds_too_much_is_put_off_as_well(
    group: CgroupGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    if group.paths.version == 2:
        pytest.skip("cgroup v2 kills instead of refusing")
    group.apply(Limits(memory=256 * MIB, pids=32))
    monkeypatch.setattr(limits_module, "_refuse_below_usage", lambda *_: None)
    with held_in_memory(group), pytest.raises(ResizePendingError, match="cannot shrink"):
        group.apply(Limits(memory=32 * MIB, pids=16))
    assert in_force(group) == (256 * MIB, None, 32)


def test_v1_memory_is_put_back_where_memory_with_swap_cannot_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is swapped out counts for the second limit alone."""
    (tmp_path / "memory.limit_in_bytes").write_text(str(256 * MIB))
    (tmp_path / "memory.memsw.limit_in_bytes").write_text(str(256 * MIB))
    write = files.write

    def refused(folder: str, name: str, value: str) -> None:
        if name == "memory.memsw.limit_in_bytes":
            raise OSError(errno.EBUSY, "Device or resource busy", name)
        write(folder, name, value)

    monkeypatch.setattr(files, "write", refused)
    paths = CgroupPaths(1, memory=str(tmp_path))
    with pytest.raises(ResizePendingError):
        apply_limits(paths, Limits(memory=128 * MIB))
    assert read_limits(paths).memory == 256 * MIB


@pytest.mark.root
def test_file_cache_does_not_stand_in_the_way_of_a_lower_limit(group: CgroupGroup, tmp_path: Path) -> None:
    with running("dd", "if=/dev/zero", f"of={tmp_path}/file", "bs=1M", "count=64", group=group) as process:
        assert process.wait() == 0
    group.apply(Limits(memory=32 * MIB))
    assert in_force(group)[0] == 32 * MIB


@pytest.mark.root
def test_the_pids_limit_stops_forks(group: CgroupGroup) -> None:
    group.apply(Limits(pids=4))
    script = "for i in 1 2 3 4 5 6; do sleep 60 >/dev/null & done; echo unreached"
    with running("sh", "-c", script, group=group) as process:
        assert line_of(process) == ""
        process.wait(10)
        assert len(group.procs()) == 3


@pytest.mark.root
def test_the_cpu_limit_holds_a_busy_process_back(group: CgroupGroup) -> None:
    group.apply(Limits(cpu=100))
    assert group.paths.cpu is not None
    throttled = Path(group.paths.cpu, "cpu.stat")
    with running("sh", "-c", "while :; do :; done", group=group):
        wait_until(lambda: "nr_throttled 0\n" not in throttled.read_text(), "the kernel throttles")


@pytest.mark.root
def test_the_smallest_cpu_limit_can_be_had(group: CgroupGroup) -> None:
    group.apply(Limits(cpu=1))
    assert in_force(group)[1] == 1


@pytest.mark.root
def test_a_throttle_changes_cpu_alone(group: CgroupGroup) -> None:
    group.apply(Limits(memory=64 * MIB, cpu=1000, pids=32))
    apply_cpu(group.paths, 200)
    assert in_force(group) == (64 * MIB, 200, 32)


@pytest.mark.root
def test_a_group_that_is_gone_says_so(group: CgroupGroup) -> None:
    group.remove()
    with pytest.raises(InstanceNotFoundError):
        group.apply(Limits(pids=4))
    assert read_limits(group.paths) == CgroupLimits()


@pytest.fixture
def v2(tmp_path: Path) -> CgroupPaths:
    """The limit files of a v2 group."""
    contents = {
        "cgroup.procs": "",
        "memory.current": "1000000",
        "memory.stat": "anon 1\ninactive_file 0",
        "memory.max": "max",
        "memory.swap.max": "max",
        "cpu.max": "max 100000",
        "pids.max": "max",
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content + "\n")
    folder = str(tmp_path)
    return CgroupPaths(2, folder, folder, folder, folder, folder)


def test_v2_without_limits_reads_as_unlimited(v2: CgroupPaths) -> None:
    assert read_limits(v2) == CgroupLimits(known=ALL)


def test_v2_limits_are_written_as_the_kernel_wants_them(v2: CgroupPaths, tmp_path: Path) -> None:
    for file in tmp_path.iterdir():
        file.write_text("")
    (tmp_path / "memory.current").write_text("0")
    apply_limits(v2, Limits(memory=64 * MIB, cpu=500, pids=32))
    written = {name: (tmp_path / name).read_text() for name in ("memory.max", "memory.swap.max", "cpu.max", "pids.max")}
    expected = {"memory.max": str(64 * MIB), "memory.swap.max": "0", "cpu.max": "50000 100000", "pids.max": "32"}
    assert written == expected
    assert read_limits(v2) == CgroupLimits(64 * MIB, 0, 500, 32, ALL)


def test_v2_says_when_a_group_is_gone(v2: CgroupPaths, tmp_path: Path) -> None:
    for file in tmp_path.iterdir():
        file.unlink()
    with pytest.raises(InstanceNotFoundError):
        apply_limits(v2, Limits(pids=32))


def test_v2_memory_below_use_is_not_written_since_the_kernel_would_kill(v2: CgroupPaths, tmp_path: Path) -> None:
    with pytest.raises(ResizePendingError):
        apply_limits(v2, Limits(memory=999_999))
    assert (tmp_path / "memory.max").read_text() == "max\n"


def test_controllers_that_a_group_lacks_are_passed_by_and_not_known(v2: CgroupPaths, tmp_path: Path) -> None:
    for name in ("memory.max", "memory.swap.max", "memory.current", "cpu.max"):
        (tmp_path / name).unlink()
    apply_limits(v2, Limits(memory=64 * MIB, cpu=500, pids=32))
    assert read_limits(v2) == CgroupLimits(pids=32, known=frozenset({"pids"}))
