"""Finding the groups of a process on machines of every kind, and inside containers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.runtime.cgroup.group import CgroupGroup
from controller.runtime.cgroup.hierarchy import CgroupPaths, Hierarchy
from tests.measuring.machine import running


class Machine:
    """A made-up /proc, and the folders of its mounts."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.proc = base / "proc"
        (self.proc / "self").mkdir(parents=True)
        self.mounts: list[str] = ["31 23 0:28 / / rw,relatime shared:1 - ext4 /dev/vda rw"]

    def mount(self, point: str, options: str = "", root: str = "/", kind: str = "cgroup") -> None:
        where = str(self.base / point).replace(" ", "\\040")
        self.mounts.append(f"32 31 0:29 {root} {where} rw,relatime shared:9 master:1 - {kind} {kind} rw,{options}")
        (self.proc / "self/mountinfo").write_text("\n".join(self.mounts) + "\n")

    def process(self, pid: int, *lines: str) -> None:
        (self.proc / str(pid)).mkdir()
        (self.proc / str(pid) / "cgroup").write_text("\n".join(lines) + "\n")

    def folder(self, path: str) -> str:
        (self.base / path).mkdir(parents=True)
        return str(self.base / path)

    def paths_of(self, pid: int) -> CgroupPaths | None:
        return Hierarchy.detect(str(self.proc)).paths_of(pid)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_v1_has_a_folder_for_each_controller_and_one_for_those_mounted_together(machine: Machine) -> None:
    machine.mount("memory", "memory")
    machine.mount("cpu,cpuacct", "cpu,cpuacct")
    machine.mount("pids", "pids")
    machine.process(7, "4:memory:/docker/abc", "3:cpu,cpuacct:/docker/abc", "2:pids:/docker/abc", "1:name=systemd:/x")
    memory, cpu, pids = (machine.folder(f"{top}/docker/abc") for top in ("memory", "cpu,cpuacct", "pids"))
    paths = machine.paths_of(7)
    assert paths == CgroupPaths(1, memory=memory, cpu=cpu, cpuacct=cpu, pids=pids)
    assert paths.folders() == (memory, cpu, pids)


def test_v2_has_one_folder_for_all(machine: Machine) -> None:
    machine.mount("cgroup", kind="cgroup2")
    machine.process(7, "0::/system.slice/docker-abc.scope")
    folder = machine.folder("cgroup/system.slice/docker-abc.scope")
    assert machine.paths_of(7) == CgroupPaths(2, folder, folder, folder, folder, folder)


def test_a_hybrid_machine_counts_as_v1(machine: Machine) -> None:
    machine.mount("unified", kind="cgroup2")
    machine.mount("memory", "memory")
    machine.process(7, "4:memory:/abc", "0::/abc")
    machine.folder("unified/abc")
    memory = machine.folder("memory/abc")
    assert machine.paths_of(7) == CgroupPaths(1, memory=memory)


def test_a_mount_that_shows_a_sub_group_only_is_looked_up_below_it(machine: Machine) -> None:
    machine.mount("memory", "memory", root="/docker/outer")
    machine.process(7, "4:memory:/docker/outer/docker/inner")
    machine.process(8, "4:memory:/docker/outer-other")
    assert machine.paths_of(7) == CgroupPaths(1)
    inner = machine.folder("memory/docker/inner")
    assert machine.paths_of(7) == CgroupPaths(1, memory=inner)
    assert machine.paths_of(8) == CgroupPaths(1)


def test_a_group_outside_of_our_namespace_is_not_guessed(machine: Machine) -> None:
    machine.mount("memory", "memory")
    machine.folder("elsewhere")
    machine.folder("memory/x")
    machine.process(7, "4:memory:/../elsewhere")
    assert machine.paths_of(7) == CgroupPaths(1)


def test_a_process_among_everybody_at_the_top_has_no_folder_of_its_own(machine: Machine) -> None:
    machine.mount("memory", "memory")
    machine.mount("pids", "pids")
    machine.process(7, "4:memory:/", "2:pids:/abc")
    machine.folder("memory")
    pids = machine.folder("pids/abc")
    assert machine.paths_of(7) == CgroupPaths(1, pids=pids)


def test_a_mount_point_with_a_space_is_read(machine: Machine) -> None:
    machine.mount("my cgroups", kind="cgroup2")
    machine.process(7, "0::/a")
    folder = machine.folder("my cgroups/a")
    assert machine.paths_of(7) == CgroupPaths(2, folder, folder, folder, folder, folder)


def test_without_a_mount_there_is_nothing_to_find(machine: Machine) -> None:
    machine.process(7, "4:memory:/abc")
    assert Hierarchy.detect(str(machine.proc)).version == 0
    assert machine.paths_of(7) == CgroupPaths(0)


def test_a_process_that_is_gone_has_no_paths() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert Hierarchy.detect().paths_of(pid) is None


@pytest.mark.root
def test_a_process_in_a_group_is_found_there(group: CgroupGroup) -> None:
    with running("sleep", "60", group=group) as process:
        assert Hierarchy.detect().paths_of(process.pid) == group.paths
