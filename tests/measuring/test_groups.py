"""Groups of our own: joined, frozen, killed and removed, against processes that would rather not."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from controller.model.errors import ConflictError, InstanceNotFoundError, RuntimeFailure, UsageError
from controller.model.spec import Limits
from controller.runtime.cgroup import files
from controller.runtime.cgroup import group as group_module
from controller.runtime.cgroup import root as root_module
from controller.runtime.cgroup.group import CgroupGroup
from controller.runtime.cgroup.hierarchy import CONTROLLERS, UNIFIED, CgroupMount, Hierarchy
from controller.runtime.cgroup.root import CgroupRoot
from controller.runtime.directory.groups import join_files
from tests.measuring.machine import NOBODY, as_user, line_of, put_in, running, v2_hierarchy, wait_until

pytestmark = pytest.mark.root

FORK_FOR_EVER = """
import os, sys
print('ready', flush=True)
os.close(1)
while True:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        pass
"""


def test_a_group_is_made_adopted_and_removed(any_root: CgroupRoot) -> None:
    made = any_root.create("a")
    assert made.exists()
    assert any_root.create("a").paths == made.paths
    assert any_root.names() == {"a"}
    made.remove()
    made.remove()
    assert not made.exists()
    assert any_root.names() == frozenset()


def test_two_instances_do_not_see_each_others_groups(any_root: CgroupRoot) -> None:
    any_root.create("a")
    other = CgroupRoot(f"test-{uuid4()}")
    assert other.names() == frozenset()


def test_making_a_root_writes_nothing() -> None:
    root = CgroupRoot(f"test-{uuid4()}")
    root.writable_controllers()
    root.group("a")
    # os.walk passes over groups of others that vanish meanwhile.
    assert root.name not in {name for _, folders, _ in os.walk("/sys/fs/cgroup") for name in folders}
    root.remove()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "/a", "-a", "a\n", "a" * 201])
def test_a_name_that_is_no_folders_is_refused(root: CgroupRoot, name: str) -> None:
    with pytest.raises(UsageError):
        root.group(name)


def test_a_process_joins_by_writing_to_each_of_the_join_files(any_root: CgroupRoot) -> None:
    group = any_root.create("a")
    script = 'for file in "$@"; do echo $$ > "$file"; done; echo joined; exec sleep 60'
    with running("sh", "-c", script, "sh", *join_files(group)) as process:
        assert line_of(process) == "joined"
        assert group.procs() == {process.pid}


def test_processes_of_groups_below_belong_to_it(any_root: CgroupRoot) -> None:
    group = any_root.create("a")
    below = CgroupGroup("b", group.paths)
    for folder in group.paths.folders():
        Path(folder, "below").mkdir()
    with running("sleep", "60") as process:
        for folder in below.paths.folders():
            Path(folder, "below/cgroup.procs").write_text(str(process.pid))
        assert group.procs() == {process.pid}
        group.kill()
        process.wait()
    group.remove()
    assert not group.exists()


def test_what_is_frozen_stands_still_until_it_is_thawed(any_root: CgroupRoot) -> None:
    group = any_root.create("a")
    with running("sh", "-c", "while :; do :; done", group=group) as process:
        wait_until(lambda: _ticks(process.pid) > 0, "it runs")
        group.freeze()
        assert group.frozen()
        before = _ticks(process.pid)
        assert _stands_still(process.pid, before)
        group.thaw()
        group.thaw()
        wait_until(lambda: _ticks(process.pid) > before, "it runs again")


def test_freezing_catches_a_process_that_forks_all_the_time(any_root: CgroupRoot) -> None:
    group = any_root.create("a")
    script = "echo ready; while :; do /bin/true; done"
    with running("sh", "-c", script, group=group) as process:
        assert line_of(process) == "ready"
        group.freeze()
        assert group.frozen()
        procs = group.procs()
        assert procs == group.procs()
        group.kill()


def test_what_does_not_freeze_in_time_is_left_thawed(group: CgroupGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_module, "FREEZE_SECONDS", 0.0)
    monkeypatch.setattr(group, "frozen", lambda: False)
    with running("sleep", "60", group=group), pytest.raises(ConflictError, match="does not freeze"):
        group.freeze()
    monkeypatch.undo()
    assert not group.frozen()


def test_no_process_that_forks_for_ever_survives_a_kill(root: CgroupRoot) -> None:
    group = root.create("a")
    group.apply(Limits(pids=60))
    with running(sys.executable, "-S", "-c", FORK_FOR_EVER, group=group) as process:
        assert line_of(process) == "ready"
        wait_until(lambda: len(group.procs()) > 30, "it has forked")
        group.kill()
        assert group.procs() == frozenset()
        process.wait()


def test_without_cgroup_kill_a_kill_freezes_first(any_root: CgroupRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels before 5.14 have v2 without it."""
    exists = files.exists
    monkeypatch.setattr(files, "exists", lambda folder, name: name != "cgroup.kill" and exists(folder, name))
    group = any_root.create("a")
    with running("sh", "-c", "echo ready; while :; do /bin/true; done", group=group) as process:
        assert line_of(process) == "ready"
        group.kill()
        assert group.procs() == frozenset()


def test_daemons_that_left_their_session_are_killed_too(any_root: CgroupRoot) -> None:
    group = any_root.create("a")
    script = "setsid sh -c 'setsid sleep 60 >/dev/null & echo ready' & wait"
    with running("sh", "-c", script, group=group) as process:
        assert line_of(process) == "ready"
        process.wait()
        assert group.procs()
        group.kill()
        assert group.procs() == frozenset()


def test_frozen_processes_can_be_killed(any_root: CgroupRoot) -> None:
    group = any_root.create("a")
    with running("sleep", "60", group=group) as process:
        group.freeze()
        group.kill()
        assert process.wait() == -9
    group.remove()


def test_an_empty_or_removed_group_is_killed_at_once(any_root: CgroupRoot) -> None:
    group = any_root.create("a")
    group.kill()
    group.remove()
    group.kill()


def test_a_group_in_use_is_not_removed(group: CgroupGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_module, "REMOVE_SECONDS", 0.01)
    with running("sleep", "60", group=group) as process, pytest.raises(ConflictError, match=str(process.pid)):
        group.remove()


def test_a_process_that_its_parent_has_not_reaped_does_not_hold_up_a_removal(any_root: CgroupRoot) -> None:
    group = any_root.create("a")
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    try:
        put_in(group, pid)
        group.kill()
        group.remove()
    finally:
        os.waitpid(pid, 0)


def test_a_removed_group_says_so(any_root: CgroupRoot) -> None:
    group = any_root.create("a")
    group.remove()
    with pytest.raises(InstanceNotFoundError):
        group.freeze()


def test_root_may_use_every_controller_that_the_machine_has(root: CgroupRoot) -> None:
    assert root.writable_controllers() <= set(CONTROLLERS)
    assert "freezer" in root.writable_controllers()


def test_another_user_may_use_none() -> None:
    assert as_user(NOBODY, lambda: CgroupRoot("x").writable_controllers() == frozenset())
    assert as_user(NOBODY, lambda: CgroupRoot("x").create("a").paths.folders() == ())


def test_without_a_freezer_pausing_is_refused_with_what_to_do(group: CgroupGroup) -> None:
    bare = CgroupGroup("a", group.paths.__class__(1))
    assert not bare.freezable()
    with pytest.raises(RuntimeFailure, match="stop instead"):
        bare.freeze()


@pytest.fixture
def nested(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hierarchy]:
    """The machine's v2 as a container sees it: its top is a group with processes in it.

    On a machine whose usual controllers are on v1, one that is left to v2 stands in for them.
    """
    whole = v2_hierarchy()
    if whole is None:
        pytest.skip("no cgroup v2 is mounted here")
    (mount,) = whole.mounts_of("memory")
    offered = Path(mount.point, "cgroup.controllers").read_text().split()
    wanted = frozenset(offered) & {"memory", "pids"} or frozenset(offered[:1])
    if not wanted:
        pytest.skip("the cgroup v2 here has no controllers")
    monkeypatch.setattr(root_module, "_SWITCHED_ON_V2", wanted)
    switch = Path(mount.point, "cgroup.subtree_control")
    before = set(switch.read_text().split())
    yield whole
    for controller in wanted - before:
        switch.write_text(f"-{controller}")


def test_at_the_top_of_a_container_its_processes_make_room(nested: Hierarchy) -> None:
    outer_root = CgroupRoot(f"test-{uuid4()}", nested)
    outer = outer_root.create("container")
    folder = outer.paths.folders()[0]
    inner_root = CgroupRoot("inner", Hierarchy(2, {UNIFIED: (CgroupMount("/", folder),)}))
    try:
        with running("sleep", "60", group=outer) as process:
            assert inner_root.writable_controllers() == root_module._SWITCHED_ON_V2 | {"cpuacct", "freezer"}
            inner = inner_root.create("a")
            handed_down = Path(inner.paths.folders()[0], "cgroup.controllers").read_text().split()
            assert set(handed_down) >= root_module._SWITCHED_ON_V2
            assert outer.procs() == {process.pid}
            put_in(inner, process.pid)
            assert inner.procs() == {process.pid}
            inner.kill()
            inner.remove()
            inner_root.remove()
    finally:
        outer.kill()
        outer.remove()
        outer_root.remove()


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _stands_still(pid: int, ticks: int) -> bool:
    """Looked at over five ticks of the kernel's clock."""
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        if _ticks(pid) != ticks:
            return False
    return True
