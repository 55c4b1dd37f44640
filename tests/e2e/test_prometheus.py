"""A real Prometheus scrapes real daemons with real sandboxes, and is asked whether what it was told is so."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final

import pytest
from docker import DockerClient
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.daemon import RunningDaemon
from tests.e2e.metrics_story import MIB, Story, story
from tests.prometheus.queries import annotation_queries, panel_queries, rule_queries
from tests.prometheus.server import eventually, need

SANDBOX: Final = frozenset({"namespace", "sandbox"})
DAEMON_FAMILIES: Final = {
    "sandkeeper_reconcile_total": ("counter", {"result"}),
    "sandkeeper_reconcile_duration_seconds": ("histogram", set()),
    "sandkeeper_tick_duration_seconds": ("histogram", set()),
    "sandkeeper_tick_overruns_total": ("counter", set()),
    "sandkeeper_workqueue_depth": ("gauge", set()),
    "sandkeeper_operations_total": ("counter", {"runtime", "operation", "result"}),
    "sandkeeper_operation_duration_seconds": ("histogram", {"runtime", "operation"}),
    "sandkeeper_manifests": ("gauge", {"state"}),
    "sandkeeper_prune_blocked": ("gauge", set()),
    "sandkeeper_drift_detected_total": ("counter", {"field"}),
    "sandkeeper_change_duration_seconds": ("histogram", {"stage"}),
}
SANDBOX_FAMILIES: Final = {
    "sandbox_info": ("gauge", {"isolation", "runtime", "image"}),
    "sandbox_status_condition": ("gauge", {"condition"}),
    "sandbox_cpu_usage_seconds_total": ("counter", set()),
    "sandbox_memory_working_set_bytes": ("gauge", set()),
    "sandbox_memory_limit_bytes": ("gauge", set()),
    "sandbox_cpu_limit_cores": ("gauge", set()),
    "sandbox_pids": ("gauge", set()),
    "sandbox_disk_usage_bytes": ("gauge", set()),
    "sandbox_restarts_total": ("counter", set()),
    "sandbox_limit_violations_total": ("counter", {"resource", "action"}),
}
NOT_TO_BE_HAD: Final = {
    "SandkeeperLoopDead": "a daemon whose loop is dead cannot be had by honest means",
    "ReconcilePanics": "a pass that panics would be a bug",
    "TickOverruns": "a machine too slow for its ticks",
    "WorkqueueBacklog": "more than 50 sandboxes that wait at once",
    "ReconcileErrors": "more than a quarter of all passes fail, while here most succeed",
}
"""Rules that stay silent here, since their trouble is not to be had. tests/prometheus/test_scrape.py asks them all."""


@pytest.fixture(scope="module")
def lived(
    docker_host: str, docker_client: DockerClient, busybox_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    """Everything has happened."""
    with story(docker_host, docker_client, tmp_path_factory.mktemp("prometheus")) as told:
        yield told


def _families(page: str) -> dict[str, str]:
    """Type by name, as the page declares them."""
    return {line.split()[2]: line.split()[3] for line in page.splitlines() if line.startswith("# TYPE ")}


def _named(*queries: Iterable[tuple[str, str]]) -> list[Any]:
    return [pytest.param(query, id=name) for name, query in chain(*queries) if name not in NOT_TO_BE_HAD]


def test_a_fresh_daemon_shows_every_family(engineless: RunningDaemon) -> None:
    page = engineless.metrics()
    declared = _families(page)
    for name, (type_, _) in (DAEMON_FAMILIES | SANDBOX_FAMILIES).items():
        assert declared.get(name) == type_, name
    present = {family.name for family in text_string_to_metric_families(page) if family.samples}
    assert {name.removesuffix("_total") for name in DAEMON_FAMILIES} <= present


@pytest.mark.docker
def test_promtool_finds_the_real_page_clean(lived: Story) -> None:
    page = lived.daemon.metrics()
    checked = subprocess.run(
        [need("promtool"), "check", "metrics"], input=page, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.docker
def test_each_family_has_the_labels_it_promises_and_no_other(lived: Story) -> None:
    families = {family.name: family for family in text_string_to_metric_families(lived.daemon.metrics())}
    for name, (type_, labels) in (DAEMON_FAMILIES | SANDBOX_FAMILIES).items():
        wanted = labels | (SANDBOX if name in SANDBOX_FAMILIES else set())
        found = {frozenset(sample.labels) - {"le"} for sample in families[name.removesuffix("_total")].samples}
        assert (families[name.removesuffix("_total")].type, found) == (type_, {frozenset(wanted)}), name


@pytest.mark.docker
def test_every_family_reaches_prometheus(lived: Story) -> None:
    for name, (type_, _) in (DAEMON_FAMILIES | SANDBOX_FAMILIES).items():
        series = name + ("_bucket" if type_ == "histogram" else "")
        assert lived.prometheus.query(series), series


@pytest.mark.docker
@pytest.mark.parametrize(
    ("query", "value"),
    [
        ('sandbox_memory_limit_bytes{I= sandbox="busy"}', 64 * MIB),
        ('sandbox_cpu_limit_cores{I= sandbox="busy"}', 0.5),
        ('sandbox_memory_limit_bytes{I= sandbox="folder"}', 64 * MIB),
        ('sandbox_info{I= sandbox="busy", isolation="container", runtime="docker", image="busybox:latest"}', 1),
        ('sandbox_info{I= sandbox="folder", isolation="directory", runtime="directory"}', 1),
        ('sandkeeper_manifests{I= state="refused"}', 2),
        ('sandkeeper_manifests{I= state="stale"}', 1),
        ('sandkeeper_manifests{I= state="good"}', 5),
        ('sandkeeper_drift_detected_total{I= field="memory"}', 1),
        ('sandkeeper_operations_total{I= runtime="docker", operation="update", result="success"}', 1),
        ("sandkeeper_prune_blocked{I=}", 0),
        ("count(sandkeeper_prune_blocked == 1)", 1),
        ('sandbox_status_condition{sandbox="fallen-back", condition="Degraded"}', 1),
        ('sandbox_info{sandbox="fallen-back", isolation="directory"}', 1),
        ('sandbox_status_condition{I= sandbox="busy", condition="Ready"}', 1),
        ('sandbox_status_condition{I= sandbox="imageless", condition="Ready"}', 0),
        ('sandbox_restarts_total{I= sandbox="busy"}', 0),
        ("count({__name__=~'.+_created'})", None),
    ],
)
def test_prometheus_is_told_what_is_so(lived: Story, query: str, value: float | None) -> None:
    assert lived.value(query) == value


@pytest.mark.docker
def test_measurements_are_those_of_the_machine(lived: Story, docker_client: DockerClient) -> None:
    """Beside what the engine and the files themselves say."""
    busy = docker_client.containers.get(lived.daemon.status("busy")["containerID"])
    lived.becomes('sandbox_pids{I= sandbox="busy"}', len(busy.top()["Processes"]))
    assert 30 * MIB <= (lived.value('sandbox_memory_working_set_bytes{I= sandbox="full"}') or 0) <= 32 * MIB
    filled = lived.daemon.state_dir / "workspaces" / lived.daemon.sandbox("folder")["metadata"]["uid"] / "fill"
    disk = lived.value('sandbox_disk_usage_bytes{I= sandbox="folder"}') or 0
    assert filled.stat().st_size <= disk <= filled.stat().st_size + MIB


@pytest.mark.docker
def test_the_cpu_counter_rises_as_fast_as_the_limit_allows(lived: Story) -> None:
    counter = 'sandbox_cpu_usage_seconds_total{I= sandbox="busy"}'
    before = lived.value(counter) or 0.0
    assert (eventually(lambda: lived.value(counter), lambda found: (found or 0) > before + 0.5) or 0) > before + 0.5
    assert 0 < (lived.value(f"rate({counter}[1m])") or 0) < 0.6


@pytest.mark.docker
def test_a_kill_counts_as_violation_restart_and_oom(lived: Story) -> None:
    restarts = lived.daemon.status("greedy")["restarts"]
    assert restarts >= 2
    kills = 'sandbox_limit_violations_total{I= sandbox="greedy", resource="memory", action="kill"}'
    told = 'min(sandbox_restarts_total{I= sandbox="greedy"} or ' + kills + ")"
    assert (eventually(lambda: lived.value(told), lambda found: (found or 0) >= restarts) or 0) >= restarts


@pytest.mark.docker
def test_each_condition_is_one_series_of_0_or_1(lived: Story) -> None:
    conditions = "sandbox_status_condition"
    assert lived.prometheus.query(f"count by (instance, namespace, sandbox, condition) ({conditions}) > 1") == []
    assert lived.prometheus.query(f"{conditions} != 0 and {conditions} != 1") == []
    told = {sample["metric"]["condition"] for sample in lived.prometheus.query(f'{conditions}{{sandbox="busy"}}')}
    assert told == {condition["type"] for condition in lived.daemon.status("busy")["conditions"]}


@pytest.mark.docker
def test_each_stage_of_a_change_is_timed_once_for_each_sandbox(lived: Story) -> None:
    counts = {
        stage: lived.value(f'sandkeeper_change_duration_seconds_count{{I= stage="{stage}"}}')
        for stage in ("seen", "planned", "created", "ready")
    }
    assert counts == {"seen": 6, "planned": 6, "created": 5, "ready": 5}


@pytest.mark.docker
@pytest.mark.parametrize("query", _named(panel_queries(), annotation_queries(), rule_queries()))
def test_every_query_that_is_shipped_returns_data(lived: Story, query: str) -> None:
    """A number, that is: a quantile of nothing is NaN."""
    assert eventually(lambda: [found for found in lived.prometheus.query(query) if found["value"][1] != "NaN"])


@pytest.mark.docker
def test_every_rule_is_healthy(lived: Story) -> None:
    faults = [f"{rule['name']}: {rule.get('lastError')}" for rule in lived.prometheus.rules() if rule["health"] != "ok"]
    assert faults == []


@pytest.mark.docker
def test_the_series_of_a_deleted_sandbox_vanish(lived: Story) -> None:
    series = '{__name__=~"sandbox_.*", sandbox="full"}'
    assert len(lived.prometheus.query(series)) > 10
    lived.daemon.undeclare("full")
    lived.daemon.wait_gone("full")
    assert eventually(lambda: lived.prometheus.query(series), lambda found: not found) == []
    assert "full" not in lived.daemon.metrics()
