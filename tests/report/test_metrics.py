"""The scraped page, read by prometheus_client's own parser and by promtool."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from controller.model.identity import Key, sandbox_key
from controller.model.observed import Capabilities
from controller.model.spec import Limits
from controller.report.metrics import Metrics
from controller.report.sandbox_metrics import render_sandboxes
from controller.report.usage_history import UsageHistory
from tests.prometheus.server import need
from tests.report.plane import FakePlane
from tests.report.values import NOON, WEB, record, status, usage, view

DAEMON_FAMILIES = {
    "sandkeeper_build_info": "gauge",
    "sandkeeper_reconcile": "counter",
    "sandkeeper_reconcile_duration_seconds": "histogram",
    "sandkeeper_tick_duration_seconds": "histogram",
    "sandkeeper_tick_overruns": "counter",
    "sandkeeper_workqueue_depth": "gauge",
    "sandkeeper_operations": "counter",
    "sandkeeper_operation_duration_seconds": "histogram",
    "sandkeeper_manifests": "gauge",
    "sandkeeper_prune_blocked": "gauge",
    "sandkeeper_drift_detected": "counter",
    "sandkeeper_change_duration_seconds": "histogram",
    "sandkeeper_runtime_up": "gauge",
}
SANDBOX_FAMILIES = {
    "sandbox_info": "gauge",
    "sandbox_status_phase": "gauge",
    "sandbox_status_condition": "gauge",
    "sandbox_cpu_usage_seconds": "counter",
    "sandbox_cpu_limit_cores": "gauge",
    "sandbox_memory_working_set_bytes": "gauge",
    "sandbox_memory_limit_bytes": "gauge",
    "sandbox_pids": "gauge",
    "sandbox_disk_usage_bytes": "gauge",
    "sandbox_restarts": "counter",
    "sandbox_limit_violations": "counter",
}

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("0.1.0", ("docker", "directory"), UsageHistory())


def parsed(page: bytes) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def value(series: Series, name: str, **labels: str) -> float | None:
    return series.get((name, frozenset(labels.items())))


def of_web(series: Series, name: str, **labels: str) -> float | None:
    return value(series, name, namespace="default", sandbox="web", **labels)


def test_every_family_is_there_before_anything_happened(metrics: Metrics) -> None:
    families = {
        family.name: family.type for family in text_string_to_metric_families(metrics.page(FakePlane()).decode())
    }
    assert families.items() >= (DAEMON_FAMILIES | SANDBOX_FAMILIES).items()


def test_label_values_known_in_advance_begin_at_zero(metrics: Metrics) -> None:
    series = parsed(metrics.page(FakePlane(daemon=replace(FakePlane().daemon, runtimes=()))))
    for result in ("success", "requeue", "retry", "terminal", "panic"):
        assert value(series, "sandkeeper_reconcile_total", result=result) == 0
    for runtime in ("docker", "directory"):
        assert value(series, "sandkeeper_runtime_up", runtime=runtime) == 0
        for result in ("success", "error", "Conflict", "EnginePermission", "CannotRun"):
            labels = {"runtime": runtime, "operation": "create", "result": result}
            assert value(series, "sandkeeper_operations_total", **labels) == 0
    for state in ("good", "stale", "refused"):
        assert value(series, "sandkeeper_manifests", state=state) == 0
    for stage in ("seen", "planned", "created", "ready"):
        assert value(series, "sandkeeper_change_duration_seconds_count", stage=stage) == 0
    assert value(series, "sandkeeper_drift_detected_total", field="memory") == 0
    assert value(series, "sandkeeper_tick_overruns_total") == 0


def test_no_series_tells_when_it_was_created(metrics: Metrics) -> None:
    assert not [name for name, _ in parsed(metrics.page(FakePlane())) if name.endswith("_created")]


def test_what_the_loop_records_is_counted(metrics: Metrics) -> None:
    metrics.reconciled("retry", 0.02)
    metrics.operated("docker", "create", "Conflict", 0.3)
    metrics.ticked(0.004, overran=False)
    metrics.ticked(3.0, overran=True)
    metrics.drifted("cpu")
    metrics.changed("ready", 0.2)
    metrics.changed("ready", -5.0)
    series = parsed(metrics.page(FakePlane()))
    assert value(series, "sandkeeper_reconcile_total", result="retry") == 1
    assert value(series, "sandkeeper_reconcile_duration_seconds_bucket", le="0.025") == 1
    failed = {"runtime": "docker", "operation": "create", "result": "Conflict"}
    assert value(series, "sandkeeper_operations_total", **failed) == 1
    assert value(series, "sandkeeper_operation_duration_seconds_sum", runtime="docker", operation="create") == 0.3
    assert value(series, "sandkeeper_tick_duration_seconds_count") == 2
    assert value(series, "sandkeeper_tick_overruns_total") == 1
    assert value(series, "sandkeeper_drift_detected_total", field="cpu") == 1
    assert value(series, "sandkeeper_change_duration_seconds_sum", stage="ready") == 0.2


def test_the_daemons_state_is_shown(metrics: Metrics) -> None:
    plane = FakePlane()
    plane.set_info(
        queue_depth=3,
        manifests_good=7,
        manifests_stale=1,
        manifests_refused=2,
        prune_reason="too many",
        prune_keys=("default/a", "default/b"),
        alive=False,
        runtimes=(Capabilities("docker", available=False), Capabilities("directory")),
    )
    series = parsed(metrics.page(plane))
    assert value(series, "sandkeeper_workqueue_depth") == 3
    assert value(series, "sandkeeper_manifests", state="refused") == 2
    assert value(series, "sandkeeper_prune_blocked") == 1
    assert value(series, "sandkeeper_prune_pending_sandboxes") == 2
    assert value(series, "sandkeeper_runtime_up", runtime="docker") == 0
    assert value(series, "sandkeeper_runtime_up", runtime="directory") == 1
    assert value(series, "sandkeeper_loop_alive") == 0
    assert value(series, "sandkeeper_build_info", version="0.1.0", python=platform.python_version()) == 1
    assert (value(series, "process_resident_memory_bytes") or 0) > 1e6
    assert (value(series, "process_open_fds") or 0) > 2


def test_a_sandbox_has_its_series(metrics: Metrics) -> None:
    shown = replace(view(), status=replace(status(measured=usage()), restarts=4, image="busybox"))
    series = parsed(metrics.page(FakePlane([shown])))
    assert of_web(series, "sandbox_cpu_usage_seconds_total") == 1.5
    assert of_web(series, "sandbox_cpu_limit_cores") == 0.5
    assert of_web(series, "sandbox_memory_working_set_bytes") == 32 << 20
    assert of_web(series, "sandbox_memory_limit_bytes") == 64 << 20
    assert of_web(series, "sandbox_pids") == 3
    assert of_web(series, "sandbox_disk_usage_bytes") == 4096
    assert of_web(series, "sandbox_disk_limit_bytes") == 1 << 30
    assert of_web(series, "sandbox_restarts_total") == 4
    assert of_web(series, "sandbox_start_time_seconds") == NOON
    assert of_web(series, "sandbox_info", isolation="container", runtime="", image="busybox") == 1
    assert of_web(series, "sandbox_status_phase", phase="Running") == 1
    assert of_web(series, "sandbox_status_condition", condition="Ready") == 1
    assert of_web(series, "sandbox_status_condition", condition="LimitsEnforced") == 0


def test_what_is_not_known_or_not_limited_has_no_series(metrics: Metrics) -> None:
    bare = replace(view(), status=status(), record=replace(record(), applied=Limits()))
    series = parsed(metrics.page(FakePlane([bare])))
    assert of_web(series, "sandbox_pids") is None
    assert of_web(series, "sandbox_memory_limit_bytes") is None
    assert of_web(series, "sandbox_restarts_total") == 0


def test_violations_begin_at_zero_and_count(metrics: Metrics) -> None:
    plane = FakePlane([view()])
    assert of_web(parsed(metrics.page(plane)), "sandbox_limit_violations_total", resource="memory", action="kill") == 0
    metrics.violated(WEB, "memory", "kill")
    metrics.violated(WEB, "memory", "kill")
    metrics.violated(WEB, "cpu", "throttle")
    series = parsed(metrics.page(plane))
    assert of_web(series, "sandbox_limit_violations_total", resource="memory", action="kill") == 2
    assert of_web(series, "sandbox_limit_violations_total", resource="cpu", action="throttle") == 1
    assert of_web(series, "sandbox_limit_violations_total", resource="disk", action="stop") == 0


def test_the_series_of_a_deleted_sandbox_vanish_for_good(metrics: Metrics) -> None:
    plane = FakePlane([view()])
    metrics.violated(WEB, "memory", "kill")
    metrics.page(plane)
    plane.change()
    metrics.forget(WEB)
    metrics.violated(WEB, "memory", "kill")  # a straggler of the tick
    assert b'sandbox="web"' not in metrics.page(plane)
    plane.change(view())
    series = parsed(metrics.page(plane))
    assert of_web(series, "sandbox_limit_violations_total", resource="memory", action="kill") == 0


def test_label_values_are_escaped(metrics: Metrics) -> None:
    odd = 'a"b\\c\nd'
    shown = replace(view(), key=Key("Sandbox", odd, odd), status=replace(status(), image=odd))
    series = parsed(metrics.page(FakePlane([shown])))
    labels = {"namespace": odd, "sandbox": odd, "isolation": "container", "runtime": "", "image": odd}
    assert value(series, "sandbox_info", **labels) == 1


def test_promtool_finds_nothing_to_say(metrics: Metrics) -> None:
    metrics.violated(WEB, "memory", "kill")
    page = metrics.page(FakePlane([view(), view(sandbox_key("team", "worker"))]))
    checked = subprocess.run([need("promtool"), "check", "metrics"], input=page, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_the_text_of_no_sandboxes_is_heads_alone() -> None:
    assert all(line.startswith("#") for line in render_sandboxes([], {}).splitlines())
