"""Which limit a command ran into, and what would have been enough, from the kernel's counts. No engine needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.embedded.strictness import why_killed, why_not_started
from controller.model.spec import Limits
from controller.runtime.cgroup import hits
from controller.runtime.cgroup.hierarchy import CgroupPaths
from controller.runtime.cgroup.hits import LimitHits, asked_for, read_hits

MIB = 1 << 20
LIMITS = Limits(memory=64 * MIB, cpu=1000, pids=32)
NONE = LimitHits(0, 0, "box")
KILL = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg={0},task_memcg={0},task=a,pid={1},uid=1"
VICTIM = "Memory cgroup out of memory: Killed process {0} (a) total-vm:{1}kB, anon-rss:1kB, file-rss:0kB"
LOG = (
    (50.0, KILL.format("/c/box", 7)),
    (50.0, VICTIM.format(7, 999999)),
    (150.0, KILL.format("/c/box", 8)),
    (150.0, VICTIM.format(8, 204800)),
    (150.0, KILL.format("/c/other", 9)),
    (150.0, VICTIM.format(9, 888888)),
)


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's log, two and a half minutes after its start."""
    monkeypatch.setattr(hits, "_log_since", lambda since: [text for at, text in LOG if at >= since])


def test_what_a_killed_process_had_asked_for_is_the_kernels_word() -> None:
    assert asked_for("box", 100.0) == 200 * MIB
    assert asked_for("nobody", 100.0) is None


def test_a_kill_for_want_of_memory_names_what_would_have_been_enough() -> None:
    text = why_killed(NONE, LimitHits(1, 0, "box"), LIMITS, 100.0)
    assert "memory reached its limit of 64m; resource_limits.memory='256m' would have been enough" in text
    assert "for the 200m that it had asked for by then" in text


def test_where_the_kernels_log_is_closed_it_is_twice_the_limit() -> None:
    text = why_killed(LimitHits(2, 0, "nobody"), LimitHits(3, 0, "nobody"), LIMITS, 100.0)
    assert "resource_limits.memory='128m' would have been enough" in text
    assert "asked for" not in text


def test_refused_forks_name_how_many_would_have_been_enough() -> None:
    text = why_killed(NONE, LimitHits(0, 50, "box"), LIMITS, 100.0)
    assert "pids is 32, and 50 more were asked for; resource_limits.pids_limit=82 would have been enough" in text


@pytest.mark.parametrize(
    ("before", "after"), [(NONE, NONE), (None, NONE), (NONE, None), (NONE, LimitHits(None, None, "box"))]
)
def test_without_a_count_that_rose_no_limit_is_blamed(before: LimitHits | None, after: LimitHits | None) -> None:
    assert why_killed(before, after, LIMITS, 100.0) == ""


def test_a_container_that_cannot_even_start_has_its_limit_named() -> None:
    assert "memory reached" in why_not_started("container init was OOM-killed (memory limit too low?)", LIMITS)
    few = Limits(pids=4)
    assert "pids is 4" in why_not_started("fork/exec /proc/self/exe: resource temporarily unavailable", few)
    assert why_not_started("no such image", LIMITS) == ""


@pytest.mark.parametrize(("version", "file"), [(1, "memory.oom_control"), (2, "memory.events")])
def test_the_counts_are_read_on_either_version_of_control_groups(version: int, file: str, tmp_path: Path) -> None:
    group = tmp_path / "box"
    group.mkdir()
    (group / file).write_text("oom 5\noom_kill_disable 0\noom_kill 3\n")
    (group / "pids.events").write_text("max 7\n")
    paths = CgroupPaths(version, memory=str(group), pids=str(group))
    assert read_hits(paths) == LimitHits(3, 7, "box")
    assert read_hits(CgroupPaths(version, memory=str(tmp_path))) == LimitHits(None, None, tmp_path.name)
