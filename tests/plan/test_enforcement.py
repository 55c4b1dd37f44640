"""A measurement against the rules: each violation once, with its evidence, and the throttle's way back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from controller.model.observed import Usage
from controller.model.spec import Action, CpuEnforcement, Enforcement, Limits, Resource
from controller.plan.enforcement import Assessment, Rules, Violation, assess, throttled_cpu
from controller.plan.window import Window

MI = 1 << 20
AT = 1_800_000_000.0
LIMITS = Limits(memory=512 * MI, cpu=1000, pids=100, disk=1024 * MI, open_files=1024)


def usage(at: float = 0.0, **values: Any) -> Usage:
    """A measurement of an idle sandbox, `at` seconds from the beginning."""
    return Usage(AT + at, **{"cpu_seconds": 0.0, "working_set": 10 * MI, "pids": 3, **values})


def rules(throttled_to: int | None = None, limits: Limits = LIMITS, **actions: Any) -> Rules:
    return Rules(limits, Enforcement(**actions), throttled_to)


def after(measurements: Iterable[Usage], by: Rules | None = None) -> list[Assessment]:
    """The assessment of each measurement in turn."""
    window, assessed = Window(), []
    for measurement in measurements:
        assessed.append(assess(window, measurement, by or rules()))
        window = assessed[-1].window
    return assessed


def violations(measurements: Iterable[Usage], by: Rules | None = None) -> list[tuple[str, str, bool]]:
    """What was violated, in turn: the resource, its action, and whether it was exceeded."""
    return [
        (str(found.resource), str(found.action), found.exceeded)
        for assessment in after(measurements, by)
        for found in assessment.violations
    ]


def only(assessment: Assessment) -> Violation:
    (found,) = assessment.violations
    return found


OVER = {
    "memory": {"working_set": 513 * MI},
    "pids": {"pids": 100},
    "disk": {"disk": 1025 * MI},
}


@pytest.mark.parametrize(
    ("resource", "action"),
    [
        *(("memory", action) for action in (Action.WARN, Action.STOP, Action.KILL)),
        *((name, action) for name in ("pids", "disk") for action in Action if action is not Action.THROTTLE),
    ],
)
def test_a_resource_over_its_limit_is_acted_on_as_the_manifest_says(resource: str, action: Action) -> None:
    by: dict[str, Any] = {resource: action}
    assert violations([usage(**OVER[resource])], rules(**by)) == [(resource, str(action), True)]


def test_processes_that_cannot_be_counted_violate_nothing_and_leave_no_evidence() -> None:
    (assessed,) = after([usage(pids=None)])
    assert assessed.violations == ()
    assert assessed.window.evidence(Resource.PIDS) == ()


@pytest.mark.parametrize("action", list(Action))
def test_cpu_is_acted_on_as_the_manifest_says(action: Action) -> None:
    by = rules(cpu=CpuEnforcement(0.95, 10.0, action))
    hot = [usage(at, cpu_seconds=at) for at in range(0, 13, 2)]
    assert violations(hot, by) == [("cpu", str(action), True)]


def test_passing_warn_at_is_a_warning_whatever_the_action() -> None:
    near = usage(working_set=410 * MI, pids=80, disk=820 * MI)
    assert violations([near]) == [("memory", "warn", False), ("pids", "warn", False), ("disk", "warn", False)]
    assert violations([usage(working_set=409 * MI, pids=79, disk=819 * MI)]) == []


def test_messages_say_how_much_of_what() -> None:
    assert only(after([usage(working_set=513 * MI)])[0]).message == "memory: 513Mi of 512Mi, over the limit"
    assert only(after([usage(working_set=450_000_000)])[0]).message == "memory: 429.2Mi of 512Mi, past warnAt 80%"
    assert only(after([usage(pids=100)])[0]).message == "pids: 100 of 100, over the limit"
    hot = after([usage(at, cpu_seconds=at * 0.99) for at in range(0, 63, 2)])
    assert [found.message for each in hot for found in each.violations] == ["cpu: 990m of 1, above 95% for 1m"]


def test_a_violation_is_told_once_and_again_only_after_it_was_over() -> None:
    levels = [513, 514, 513, 470, 513, 460, 513]  # cleared below nine tenths of 512
    measured = [usage(at, working_set=level * MI) for at, level in enumerate(levels)]
    assert violations(measured) == [("memory", "kill", True), ("memory", "kill", True)]


def test_one_on_its_way_down_is_not_warned_about() -> None:
    levels = [513, 420, 300, 420]
    measured = [usage(at, working_set=level * MI) for at, level in enumerate(levels)]
    assert violations(measured) == [("memory", "kill", True), ("memory", "warn", False)]


def test_one_that_was_warned_about_is_still_told_when_it_is_over() -> None:
    assert violations([usage(0, pids=90), usage(1, pids=100)]) == [("pids", "warn", False), ("pids", "warn", True)]


def test_what_has_no_limit_or_was_not_measured_is_not_violated() -> None:
    unlimited = rules(limits=Limits())
    assert violations([usage(working_set=10**12, pids=10**6, disk=10**12)], unlimited) == []
    assert violations([usage(disk=None)]) == []


def test_an_oom_kill_inside_a_container_that_runs_on_is_a_violation_each_time() -> None:
    measured = [usage(0, oom_kills=0), usage(1, oom_kills=1), usage(2, oom_kills=1), usage(3, oom_kills=3)]
    assessed = after(measured)
    assert [found.message for each in assessed for found in each.violations] == [
        "memory: the kernel killed 1 process at the limit of 512Mi",
        "memory: the kernel killed 2 processes at the limit of 512Mi",
    ]
    assert all(found.action is Action.KILL and found.exceeded for each in assessed for found in each.violations)


def test_an_oom_kill_before_the_first_measurement_counts_only_for_one_that_began_with_us() -> None:
    assert assess(Window(), usage(oom_kills=4), rules()).violations == ()
    begun = assess(Window.from_start(AT - 1), usage(oom_kills=1), rules())
    assert only(begun).resource is Resource.MEMORY


def test_an_oom_kill_and_a_full_memory_are_one_violation() -> None:
    assert violations([usage(0), usage(1, oom_kills=1, working_set=513 * MI)]) == [("memory", "kill", True)]


def test_cpu_must_stay_high_for_the_whole_window() -> None:
    by = rules(cpu=CpuEnforcement(0.95, 60.0, Action.KILL))
    seconds = [float(at) for at in range(0, 62, 2)]
    assert violations([usage(at, cpu_seconds=at) for at in seconds], by) == []
    assert violations([usage(at, cpu_seconds=at) for at in (*seconds, 62.0)], by) == [("cpu", "kill", True)]
    dipping = [usage(at, cpu_seconds=at if at < 40 else 40 + (at - 40) * 0.9) for at in range(0, 90, 2)]
    assert violations(dipping, by) == []


def test_a_clock_that_was_set_back_begins_the_window_anew_and_no_more() -> None:
    by = rules(cpu=CpuEnforcement(0.95, 10.0, Action.KILL))
    before = [usage(at, cpu_seconds=float(at)) for at in range(0, 8, 2)]
    set_back = [usage(at - 3600, cpu_seconds=float(at)) for at in range(8, 24, 2)]
    assessed = after([*before, *set_back], by)
    assert [each.window.last.at - AT + 3600 for each in assessed if each.violations and each.window.last] == [20.0]
    throttled = rules(throttled_to=500, cpu=CpuEnforcement(0.95, 10.0, Action.THROTTLE))
    calm = [*(usage(at) for at in range(0, 8, 2)), *(usage(at - 3600) for at in range(8, 24, 2))]
    assert [each.release_throttle for each in after(calm, throttled)] == [False] * 10 + [True] * 2


def test_cpu_without_a_limit_is_measured_by_one_core() -> None:
    by = rules(limits=Limits(), cpu=CpuEnforcement(0.95, 10.0, Action.THROTTLE))
    assessed = after([usage(at, cpu_seconds=at * 3.0) for at in range(0, 13, 2)], by)
    assert [found.message for each in assessed for found in each.violations] == ["cpu: 3 of 1, above 95% for 10s"]


def test_a_throttle_is_half_of_the_limit_or_of_what_is_used() -> None:
    assert throttled_cpu(1000, 5000.0) == 500
    assert throttled_cpu(None, 3000.0) == 1500
    assert throttled_cpu(10, 10.0) == 10


def test_a_throttle_ends_when_usage_has_stayed_well_below_it() -> None:
    by = rules(throttled_to=500, cpu=CpuEnforcement(0.95, 10.0, Action.THROTTLE))
    at_the_throttle = after([usage(at, cpu_seconds=at * 0.5) for at in range(0, 30, 2)], by)
    assert not any(each.release_throttle for each in at_the_throttle)
    calm = after([usage(at, cpu_seconds=at * 0.3) for at in range(0, 15, 2)], by)
    assert [each.release_throttle for each in calm] == [False] * 6 + [True] * 2
    burst = after([usage(at, cpu_seconds=at * 0.3 + (at > 7)) for at in range(0, 15, 2)], by)
    assert not any(each.release_throttle for each in burst)


def test_a_throttled_one_is_not_a_new_violation_until_the_throttle_is_over() -> None:
    window = Window(last=usage(), active=frozenset({"cpu/over", "cpu/warn"}))
    held = assess(window, usage(2), rules(throttled_to=500)).window
    assert "cpu/over" in held.active
    assert "cpu/over" not in assess(held, usage(4), rules()).window.active


def restarted(*disks: int | None) -> list[Usage]:
    """Measurements a second apart, the second of another process, with so many MiB on disk."""
    sizes = [None if size is None else size * MI for size in disks]
    return [usage(at, cpu_seconds=0.1 if at else 50.0, disk=size) for at, size in enumerate(sizes)]


def test_a_restarted_process_is_judged_anew_but_for_what_is_on_disk() -> None:
    full = {"working_set": 513 * MI, "pids": 100, "disk": 1025 * MI}
    measured = [usage(0, cpu_seconds=50.0, oom_kills=2, **full), usage(1, cpu_seconds=0.1, oom_kills=0, **full)]
    assert violations(measured, rules(disk=Action.KILL)) == [
        *(("memory", "kill", True), ("pids", "warn", True), ("disk", "kill", True)),
        *(("memory", "kill", True), ("pids", "warn", True)),
    ]


@pytest.mark.parametrize("action", [Action.WARN, Action.KILL])
def test_what_was_left_on_disk_is_told_again_once_a_restart_found_less_than_the_limit(action: Action) -> None:
    by, once = rules(disk=action), ("disk", str(action), True)
    assert violations(restarted(1100, 1100, 1200), by) == [once]
    assert violations(restarted(1100, None, None, 1100, 1200), by) == [once]
    assert violations(restarted(1100, None, 1000, 1100), by) == [once, once]
    assert violations(restarted(1100, 100, 900, 1100), by) == [once, ("disk", "warn", False), once]


def test_another_run_is_judged_anew_though_it_has_used_more_cpu() -> None:
    full = usage(0, cpu_seconds=0.5, oom_kills=1, working_set=513 * MI, pids=100, disk=1025 * MI)
    first = assess(Window().during("a@1"), full, rules(disk=Action.KILL)).window
    second = assess(first.during("a@2"), replace(full, at=AT + 2, cpu_seconds=1.8), rules(disk=Action.KILL))
    assert [found.message for found in second.violations] == [
        "memory: the kernel killed 1 process at the limit of 512Mi",
        "pids: 100 of 100, over the limit",
    ]
    third = assess(second.window.during("a@2"), replace(full, at=AT + 4, cpu_seconds=2.0), rules(disk=Action.KILL))
    assert third.violations == ()


def test_the_first_run_of_an_instance_that_began_with_us_counts_from_its_start() -> None:
    begun = assess(Window.from_start(AT - 1).during("a@1"), usage(oom_kills=1), rules())
    assert only(begun).resource is Resource.MEMORY


def test_what_grows_on_after_it_was_killed_for_its_disk_is_killed_each_time_and_what_does_not_is_left() -> None:
    kill = ("disk", "kill", True)
    assert violations(restarted(1100, 1150, 1203, 1300, 1306), rules(disk=Action.KILL)) == [kill, kill, kill]
    assert violations(restarted(1100, 1150, 1150, 1200), rules(disk=Action.KILL)) == [kill]
    assert violations(restarted(1100, 5000, 50000), rules(disk=Action.WARN)) == [("disk", "warn", True)]


def test_disk_still_over_its_limit_when_a_stopped_one_runs_again_is_over_anew() -> None:
    assert violations(restarted(1100, None, 1100, 1200)) == [("disk", "stop", True), ("disk", "stop", True)]
    assert violations(restarted(1100, 1000, 50000)) == [("disk", "stop", True), ("disk", "stop", True)]


def test_a_warning_about_disk_is_not_given_again_for_a_restart() -> None:
    assert violations(restarted(900, None, 900)) == [("disk", "warn", False)]


@pytest.mark.parametrize(
    ("resource", "raised"),
    [("memory", {"memory": 600 * MI}), ("pids", {"pids": 110}), ("disk", {"disk": 1100 * MI})],
)
def test_another_limit_is_violated_anew(resource: str, raised: dict[str, int]) -> None:
    over = after([usage(0, **OVER[resource])])[0]
    by = rules(limits=replace(LIMITS, **raised))
    far_over = assess(over.window, usage(1, working_set=10**12, pids=10**6, disk=10**12), by)
    assert [str(found.resource) for found in far_over.violations if found.exceeded] == ["memory", "pids", "disk"]


def test_another_cpu_limit_has_to_be_passed_for_the_whole_window() -> None:
    by = rules(cpu=CpuEnforcement(0.95, 10.0, Action.KILL))
    window = after([usage(at, cpu_seconds=at * 2.0) for at in range(0, 13, 2)], by)[-1].window
    told: list[tuple[int, str]] = []
    for at in range(14, 28, 2):
        assessment = assess(window, usage(at, cpu_seconds=at * 2.0), replace(by, limits=replace(LIMITS, cpu=2000)))
        window = assessment.window
        told.extend((at, found.message) for found in assessment.violations)
    assert told == [(24, "cpu: 2 of 2, above 95% for 10s")]


def test_a_restart_forgets_how_long_cpu_was_high() -> None:
    by = rules(cpu=CpuEnforcement(0.95, 10.0, Action.KILL))
    before = [usage(at, cpu_seconds=float(at)) for at in range(0, 10, 2)]
    again = [usage(at, cpu_seconds=float(at - 9)) for at in range(10, 20, 2)]
    assert violations([*before, *again], by) == []


def test_the_evidence_is_the_last_thirty_samples_of_the_resource() -> None:
    measured = [usage(at, working_set=(100 + at) * MI, disk=5) for at in range(50)]
    found = only(after([*measured, usage(50, working_set=513 * MI)])[-1])
    assert len(found.samples) == 30
    assert (found.samples[-1].value, found.samples[-1].limit) == (513 * MI, 512 * MI)
    assert found.samples[0].at == AT + 21
    assert {sample.limit for sample in found.samples} == {512 * MI}


def test_what_is_kept_of_an_instance_does_not_grow() -> None:
    window = Window()
    for at in range(1000):
        window = assess(window, usage(at, oom_kills=at, disk=2000 * MI), rules()).window
    assert len(window.measured) == 30
    assert len(window.active) <= 8


def test_a_clock_that_stands_still_gives_no_rate() -> None:
    assert after([usage(5, cpu_seconds=1.0), usage(5, cpu_seconds=2.0)])[-1].window.cpu_rate is None
