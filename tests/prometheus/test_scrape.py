"""A real Prometheus scrapes a served daemon; every query that is shipped is asked of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from typing import Any

import pytest

from tests.prometheus.queries import annotation_queries, load_dashboard, panel_queries, rule_queries, substituted
from tests.prometheus.scenes import Scene
from tests.prometheus.server import PrometheusServer, eventually

PASSES = 'sum(sandkeeper_reconcile_total{result="success"})'


@pytest.fixture(scope="module")
def busy(scene: Scene, prometheus: PrometheusServer) -> PrometheusServer:
    """Prometheus after it has seen the counters move."""
    for _ in range(3):
        _act_and_be_seen(scene, prometheus)
    return prometheus


def _act_and_be_seen(scene: Scene, prometheus: PrometheusServer) -> None:
    before = prometheus.value(PASSES) or 0.0
    scene.act()
    assert eventually(lambda: (prometheus.value(PASSES) or 0.0) > before)


def _named(*queries: Iterable[tuple[str, str]]) -> list[Any]:
    return [pytest.param(query, id=name) for name, query in chain(*queries)]


@pytest.mark.parametrize("query", _named(panel_queries(), annotation_queries()))
def test_every_query_of_the_dashboard_returns_data(busy: PrometheusServer, query: str) -> None:
    assert eventually(lambda: busy.query(query))


@pytest.mark.parametrize("query", _named(rule_queries()))
def test_every_rule_returns_data(busy: PrometheusServer, query: str) -> None:
    assert eventually(lambda: busy.query(query))


def test_every_rule_is_healthy(busy: PrometheusServer) -> None:
    def faults() -> list[str]:
        return [f"{rule['name']}: {rule['health']}" for rule in busy.rules() if rule["health"] != "ok"]

    assert eventually(faults, lambda found: not found) == []


def test_every_variable_of_the_dashboard_has_values(busy: PrometheusServer) -> None:
    found = {}
    for variable in load_dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            matched = re.fullmatch(r"label_values\((.*), (\w+)\)", substituted(variable["query"]["query"]))
            assert matched is not None
            found[variable["name"]] = busy.label_values(matched[2], matched[1])
    assert len(found.pop("instance")) == 1
    assert found == {
        "namespace": ["default", "team"],
        "sandbox": ["crashing", "degraded", "near-its-limits", "web"],
    }


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ('sandbox_memory_limit_bytes{sandbox="web"}', 64 << 20),
        ('sandbox_cpu_limit_cores{sandbox="web"}', 0.5),
        ("sum(sandbox_status_condition{condition='Ready'})", 3),
        ("count(sandbox_info{namespace='team'})", 2),
        ("sandkeeper_manifests{state='refused'}", 2),
        ("sandkeeper_runtime_up{runtime='directory'}", 1),
        ("sandkeeper_build_info", 1),
        ("count({__name__=~'.+_created'})", None),
    ],
)
def test_prometheus_is_told_what_is_so(busy: PrometheusServer, query: str, value: float | None) -> None:
    assert busy.value(query) == value


def test_an_alert_fires_on_what_was_scraped(busy: PrometheusServer) -> None:
    firing = 'ALERTS{alertname="SandboxLimitViolations", alertstate="firing"}'
    (alert,) = eventually(lambda: busy.query(firing))
    assert (alert["metric"]["sandbox"], alert["metric"]["action"]) == ("near-its-limits", "kill")


def test_the_series_of_a_deleted_sandbox_vanish(busy: PrometheusServer, scene: Scene) -> None:
    series = '{__name__=~"sandbox_.*", sandbox="degraded"}'
    assert len(busy.query(series)) > 10
    scene.remove("degraded")
    assert eventually(lambda: busy.query(series), lambda found: not found) == []
