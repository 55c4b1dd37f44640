"""The last hour of usage."""

from __future__ import annotations

import tracemalloc

import pytest

from controller.model.identity import sandbox_key
from controller.model.spec import Resource
from controller.report.usage_history import UsageHistory, UsageSummary
from tests.report.values import NOON, WEB, usage

MIB = 1 << 20


def summary(history: UsageHistory) -> UsageSummary:
    found = history.summary(WEB)
    assert found is not None
    return found


def test_nothing_is_known_before_the_first_measurement() -> None:
    assert UsageHistory().summary(WEB) is None


def test_the_cpu_rate_is_taken_between_two_measurements() -> None:
    history = UsageHistory()
    history.observe({WEB: usage(NOON, cpu=1.0)})
    assert summary(history).cpu_millis is None
    history.observe({WEB: usage(NOON + 2, cpu=1.5)})
    history.observe({WEB: usage(NOON + 2, cpu=1.5)})
    assert summary(history).cpu_millis == 250


def test_a_restarted_instance_begins_its_cpu_rate_anew() -> None:
    history = UsageHistory()
    history.observe({WEB: usage(NOON, cpu=100.0)})
    history.observe({WEB: usage(NOON + 2, cpu=0.5)})
    assert summary(history).cpu_millis is None
    history.observe({WEB: usage(NOON + 4, cpu=2.5)})
    assert summary(history).cpu_millis == 1000
    assert summary(history).p95[Resource.CPU] == 1000


def test_p95_is_over_the_half_minutes_of_the_last_hour() -> None:
    history = UsageHistory()
    for number in range(240):  # two hours; memory grows by 1 MiB each half minute, cpu by 1 s
        at = NOON + 30 * number
        history.observe({WEB: usage(at, cpu=number, memory=number * MIB, disk=number * 4096)})
    p95 = summary(history).p95
    assert p95[Resource.MEMORY] == 233 * MIB  # the 114th of 120, 120 to 239
    assert p95[Resource.DISK] == 233 * 4096
    assert p95[Resource.PIDS] == 3
    assert p95[Resource.CPU] == pytest.approx(1000 / 30)


def test_a_half_minute_counts_by_its_highest_memory() -> None:
    history = UsageHistory()
    for offset, memory in enumerate((5, 9, 7)):
        history.observe({WEB: usage(NOON + offset, memory=memory * MIB)})
    assert summary(history).p95[Resource.MEMORY] == 9 * MIB


def test_an_hour_without_measurements_is_forgotten() -> None:
    history = UsageHistory()
    history.observe({WEB: usage(NOON, memory=900 * MIB)})
    history.observe({WEB: usage(NOON + 4000, memory=5 * MIB)})
    assert summary(history).p95[Resource.MEMORY] == 5 * MIB


def test_a_clock_set_back_begins_anew() -> None:
    history = UsageHistory()
    history.observe({WEB: usage(NOON, memory=900 * MIB)})
    history.observe({WEB: usage(NOON - 4000, memory=5 * MIB)})
    assert summary(history).cpu_millis is None
    assert summary(history).p95[Resource.MEMORY] == 5 * MIB


def test_a_resource_that_was_never_measured_has_no_p95() -> None:
    history = UsageHistory()
    history.observe({WEB: usage(disk=None)})
    assert set(summary(history).p95) == {Resource.MEMORY, Resource.PIDS}


def test_a_sandbox_that_is_gone_is_forgotten() -> None:
    history = UsageHistory()
    history.observe({WEB: usage()})
    history.forget(WEB)
    assert history.summary(WEB) is None


def test_a_sandbox_that_stopped_keeps_its_history_for_an_hour() -> None:
    history = UsageHistory()
    other = sandbox_key("default", "other")
    history.observe({WEB: usage(NOON)})
    history.observe({other: usage(NOON + 3500)})
    assert summary(history).p95[Resource.PIDS] == 3
    history.observe({other: usage(NOON + 3700)})
    assert history.summary(WEB) is None


def test_a_thousand_sandboxes_cost_less_than_four_megabytes() -> None:
    usages = {sandbox_key("default", f"web-{number}"): usage() for number in range(1000)}
    tracemalloc.start()
    history = UsageHistory()
    history.observe(usages)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 4e6
