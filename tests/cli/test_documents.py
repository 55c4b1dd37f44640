"""JSON and YAML for scripts."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.cli.conftest import Run
from tests.cli.plane import Plane
from tests.cli.sandboxes import event, sandbox


@pytest.mark.parametrize("asked", [[], ["web"], ["default/web"], ["web", "-n", "default"]])
def test_get_as_json_is_a_list_of_items(run: Run, plane: Plane, asked: list[str]) -> None:
    """Also where one is named: a script need not tell the cases apart."""
    plane.views = [sandbox("web")]
    document = json.loads(run("get", *asked, "-o", "json").stdout)
    assert list(document) == ["items"]
    assert [item["metadata"]["name"] for item in document["items"]] == ["web"]
    assert {"metadata", "spec", "status"} <= set(document["items"][0])


def test_get_of_nothing_as_json_is_an_empty_list(run: Run) -> None:
    """It stays JSON."""
    assert json.loads(run("get", "-o", "json").stdout) == {"items": []}


def test_get_as_yaml_is_the_same_document(run: Run, plane: Plane) -> None:
    """In another notation."""
    plane.views = [sandbox("web")]
    assert yaml.safe_load(run("get", "-o", "yaml").stdout) == json.loads(run("get", "-o", "json").stdout)


def test_top_as_json_has_the_usage(run: Run, plane: Plane) -> None:
    """Bytes and thousandths of a core."""
    plane.views = [sandbox("web")]
    (item,) = json.loads(run("top", "-o", "json").stdout)["items"]
    assert item["usage"]["workingSet"] == 34 << 20


def test_events_as_json_are_the_daemons(run: Run, plane: Plane) -> None:
    """Whole, with ids."""
    plane.kept_events = [event(7)]
    assert [item["id"] for item in json.loads(run("events", "-o", "json").stdout)["items"]] == [7]


def test_version_as_json_tells_of_both_sides(run: Run) -> None:
    """Of the daemon only where one answers."""
    assert set(json.loads(run("version", "-o", "json").stdout)) == {"client", "daemon"}
    alone = run("version", "-o", "json", "--state-dir", "/nonexistent")
    assert set(json.loads(alone.stdout)) == {"client"}


def test_schema_print_is_a_json_schema(run: Run) -> None:
    """Of Sandbox, unless another kind is named."""
    schema = json.loads(run("schema", "print").stdout)
    assert schema["title"] == "Sandbox"
    assert run("schema", "print", "Nothing").exit_code == 64
