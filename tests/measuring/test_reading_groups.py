"""Usage of groups, read from the kernel's own files."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.model.errors import RuntimeFailure
from controller.model.spec import Limits
from controller.runtime.cgroup.group import CgroupGroup
from controller.runtime.cgroup.hierarchy import CgroupPaths
from controller.runtime.cgroup.reader import CgroupReader, CgroupSample
from tests.measuring.machine import line_of, open_files, running, wait_until

MIB = 1 << 20


@pytest.fixture
def reader() -> Iterator[CgroupReader]:
    reader = CgroupReader()
    yield reader
    reader.close()


def python(*lines: str) -> tuple[str, ...]:
    """A Python program that says when it is ready and then waits."""
    return (
        sys.executable,
        "-S",
        "-c",
        "\n".join((*lines, "print('ready', flush=True)", "import time; time.sleep(60)")),
    )


def seen(reader: CgroupReader, group: CgroupGroup) -> CgroupSample:
    sample = reader.sample(group.name)
    assert sample is not None
    return sample


@pytest.mark.root
def test_memory_in_use_is_in_the_working_set(reader: CgroupReader, group: CgroupGroup) -> None:
    reader.attach(group.name, group.paths)
    with running(*python(f"held = b'x' * {64 * MIB}"), group=group) as process:
        assert line_of(process) == "ready"
        sample = seen(reader, group)
    assert sample.working_set is not None
    assert 64 * MIB <= sample.working_set < 128 * MIB


def charged(group: CgroupGroup) -> int:
    """All that is charged to a group, its file cache included."""
    file = "memory.current" if group.paths.version == 2 else "memory.usage_in_bytes"
    return int(Path(group.paths.memory or "", file).read_text())


@pytest.mark.root
def test_file_cache_that_nobody_uses_is_not_in_the_working_set(
    reader: CgroupReader, group: CgroupGroup, tmp_path: Path
) -> None:
    reader.attach(group.name, group.paths)
    with running("dd", "if=/dev/zero", f"of={tmp_path}/file", "bs=1M", "count=64", group=group) as process:
        assert process.wait() == 0
        wait_until(lambda: charged(group) >= 60 * MIB, "the cache is charged")
        sample = seen(reader, group)
    assert sample.working_set is not None
    assert sample.working_set < 32 * MIB


@pytest.mark.root
def test_cpu_seconds_grow_while_something_runs(reader: CgroupReader, group: CgroupGroup) -> None:
    reader.attach(group.name, group.paths)
    assert seen(reader, group).cpu_seconds == 0
    with running("sh", "-c", "while :; do :; done", group=group):
        wait_until(lambda: (seen(reader, group).cpu_seconds or 0) > 0.1, "a tenth of a second of cpu is used")


@pytest.mark.root
def test_pids_count_threads_as_the_limit_does(reader: CgroupReader, group: CgroupGroup) -> None:
    reader.attach(group.name, group.paths)
    threads = ("import threading, time", "for _ in range(7): threading.Thread(target=time.sleep, args=(60,)).start()")
    with running(*python(*threads), group=group) as process:
        assert line_of(process) == "ready"
        assert seen(reader, group).pids == 8


@pytest.mark.root
def test_a_child_killed_for_memory_is_counted_while_its_parent_runs_on(
    reader: CgroupReader, group: CgroupGroup
) -> None:
    reader.attach(group.name, group.paths)
    group.apply(Limits(memory=32 * MIB))
    script = f"{sys.executable} -S -c 'b = b\"x\" * {64 * MIB}'; echo $?; exec sleep 60"
    with running("sh", "-c", script, group=group) as process:
        assert line_of(process) == "137"
        assert process.poll() is None
        assert seen(reader, group).oom_kills == 1


@pytest.mark.root
def test_a_removed_group_gives_nothing_and_its_files_are_closed(reader: CgroupReader, group: CgroupGroup) -> None:
    before = open_files()
    reader.attach(group.name, group.paths)
    assert open_files() > before
    group.remove()
    assert reader.sample(group.name) is None
    assert not reader.attached(group.name)
    assert open_files() == before


@pytest.mark.root
def test_attaching_again_reads_the_new_group_of_a_restarted_sandbox(reader: CgroupReader, group: CgroupGroup) -> None:
    reader.attach(group.name, group.paths)
    before = open_files()
    group.remove()
    for folder in group.paths.folders():
        Path(folder).mkdir()
    reader.attach(group.name, group.paths)
    assert reader.sample(group.name) is not None
    assert open_files() == before


def test_what_was_never_attached_gives_nothing(reader: CgroupReader) -> None:
    reader.detach("x")
    assert reader.sample("x") is None


@pytest.mark.root
def test_groups_come_and_go_while_others_are_read(reader: CgroupReader, group: CgroupGroup) -> None:
    """A descriptor that is closed and given to another file in the middle of a sample would give nonsense."""
    stop = threading.Event()
    faults: list[BaseException] = []

    def read() -> None:
        try:
            while not stop.is_set():
                sample = reader.sample("x")
                assert sample is None or sample.pids == 0
        except BaseException as exc:
            faults.append(exc)
            raise

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(300):
        reader.attach("x", group.paths)
        reader.detach("x")
    stop.set()
    for thread in threads:
        thread.join()
    assert faults == []


def v2_folder(tmp_path: Path) -> CgroupPaths:
    """The files of a v2 group, as kernel 6 writes them."""
    contents = {
        "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
        "memory.current": "10000000\n",
        "memory.stat": "anon 6000000\nfile 4000000\nactive_file 500000\ninactive_file 3000000\n",
        "memory.events": "low 0\nhigh 0\nmax 3\noom 2\noom_kill 5\noom_group_kill 0\n",
        "pids.current": "4\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    folder = str(tmp_path)
    return CgroupPaths(2, folder, folder, folder, folder, folder)


def test_v2_files_are_read_alike(reader: CgroupReader, tmp_path: Path) -> None:
    reader.attach("x", v2_folder(tmp_path))
    assert reader.sample("x") == CgroupSample(1.5, 7_000_000, 4, 5)


def test_controllers_that_a_group_lacks_give_none(reader: CgroupReader, tmp_path: Path) -> None:
    paths = v2_folder(tmp_path)
    for name in ("memory.current", "memory.stat", "memory.events", "pids.current"):
        (tmp_path / name).unlink()
    reader.attach("x", paths)
    assert reader.sample("x") == CgroupSample(1.5, None, None, None)


def test_a_group_that_cannot_be_opened_leaves_no_file_open(reader: CgroupReader, tmp_path: Path) -> None:
    paths = v2_folder(tmp_path)
    (tmp_path / "memory.events").unlink()
    (tmp_path / "memory.events").symlink_to("memory.events")
    before = open_files()
    with pytest.raises(RuntimeFailure, match=r"memory\.events"):
        reader.attach("x", paths)
    assert open_files() == before


def test_closing_closes_every_file(tmp_path: Path) -> None:
    before = open_files()
    reader = CgroupReader()
    reader.attach("x", v2_folder(tmp_path))
    reader.attach("y", v2_folder(tmp_path))
    reader.close()
    assert open_files() == before
