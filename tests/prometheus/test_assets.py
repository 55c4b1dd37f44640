"""The rules, the configuration and the dashboard as files."""

from __future__ import annotations

import re
import subprocess
from itertools import combinations
from typing import Any

import pytest

from tests.prometheus.queries import DASHBOARD, load_dashboard, panels, rules
from tests.prometheus.server import ROOT, need

SHIPPED = ROOT / "deploy" / "prometheus"


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "rules.yaml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "rules_test.yaml"),
    ],
    ids=" ".join,
)
def test_promtool_is_content(arguments: tuple[str, ...]) -> None:
    checked = subprocess.run([need("promtool"), *arguments], cwd=SHIPPED, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_is_tested_and_says_what_to_do() -> None:
    tested = (SHIPPED / "rules_test.yaml").read_text()
    for rule in rules():
        if "alert" in rule:
            assert f"alertname: {rule['alert']}\n" in tested
            assert rule["annotations"].keys() == {"summary", "description"}
            assert rule["labels"]["severity"] in ("critical", "warning", "info")


def test_the_dashboard_takes_its_data_source_from_its_variable() -> None:
    for panel in panels():
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert {source["uid"] for source in sources} == {"${datasource}"}


def test_the_dashboard_has_variables_for_daemon_namespace_and_sandbox() -> None:
    variables = [variable["name"] for variable in load_dashboard()["templating"]["list"]]
    assert variables == ["datasource", "instance", "namespace", "sandbox"]


def test_panels_are_titled_described_and_numbered() -> None:
    dashboard = load_dashboard()
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert len({panel["title"] for panel in panels()}) == len(panels())
    for panel in panels():
        assert panel["description"].endswith(".")
        assert panel["type"] in ("stat", "table", "timeseries")
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


def test_panels_fit_the_grid_without_overlap() -> None:
    def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        return {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}

    shown = load_dashboard()["panels"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in shown)
    for one, other in combinations(shown, 2):
        assert not cells(one) & cells(other), f"{one['title']} overlaps {other['title']}"


def test_the_dashboard_uses_no_variable_that_it_has_not() -> None:
    used = set(re.findall(r"\$\{?(\w+)", DASHBOARD.read_text()))
    assert used == {"datasource", "instance", "namespace", "sandbox", "__rate_interval", "__range", "__all"}
