"""Every query that sandkeeper ships: in the dashboard and in the rules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from tests.prometheus.server import ROOT

DASHBOARD: Final = ROOT / "deploy" / "grafana" / "sandkeeper.json"
RULES: Final = ROOT / "deploy" / "prometheus" / "rules.yaml"

_VARIABLES: Final = {
    "$__rate_interval": "1m",
    "$__range": "1h",
    "$instance": ".*",
    "$namespace": ".*",
    "$sandbox": ".*",
}


def load_dashboard() -> dict[str, Any]:
    """The dashboard."""
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return loaded


def panels() -> list[dict[str, Any]]:
    """Its panels, rows left out."""
    return [panel for panel in load_dashboard()["panels"] if panel["type"] != "row"]


def substituted(text: str) -> str:
    """A query as Grafana sends it with everything chosen."""
    for variable, value in _VARIABLES.items():
        text = text.replace(variable, value)
    return text


def panel_queries() -> Iterator[tuple[str, str]]:
    """Panel title with reference, and query."""
    for panel in panels():
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", substituted(target["expr"])


def annotation_queries() -> Iterator[tuple[str, str]]:
    """Annotation's name and query."""
    for annotation in load_dashboard()["annotations"]["list"]:
        if "expr" in annotation:
            yield annotation["name"], substituted(annotation["expr"])


def rules() -> list[Mapping[str, Any]]:
    """The recording rules and alerts."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def rule_queries() -> Iterator[tuple[str, str]]:
    """Rule's name and expression."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
