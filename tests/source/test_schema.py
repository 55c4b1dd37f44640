"""The published schema: what it accepts, and how its faults read in a manifest's own words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from controller.model.capabilities import GRANTABLE
from controller.model.errors import QuantityError, UsageError
from controller.model.identity import API_VERSION
from controller.model.quantity import parse_cpu, parse_duration, parse_memory, parse_percent
from controller.source.formats import format_checker
from controller.source.kinds import Kind, default_kinds, load_schema


def manifest(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "Sandbox", "metadata": {"name": "web"}, "spec": spec}


def faults(body: dict[str, Any]) -> list[str]:
    kind = default_kinds().find(body)
    assert isinstance(kind, Kind)
    found = [wrong.fault for wrong in kind.check(body)]
    return [".".join(map(str, fault.path)) + f": {fault.message} | {fault.hint}" for fault in found]


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, below in schema.get("properties", {}).items():
        yield f"{path}.{name}", below
        yield from fields(below, f"{path}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from fields(schema["items"], f"{path}[]")


def test_the_schema_is_valid_draft_07_and_every_field_is_described() -> None:
    schema = load_schema("Sandbox")
    Draft7Validator.check_schema(schema)
    assert [path for path, below in fields(schema) if not below.get("description")] == []


def test_every_mapping_of_the_schema_is_closed() -> None:
    for path, below in fields(load_schema("Sandbox")):
        if below.get("type") == "object":
            assert below.get("additionalProperties") is not None, path


def test_the_least_manifest_is_a_name() -> None:
    assert faults(manifest()) == []


NOT_YET = "is not yet supported by this version"


@pytest.mark.parametrize(
    ("field", "value", "message", "hint"),
    [
        ("comand", [], "is not a known field", "did you mean command?"),
        ("restartPolicy", "always", '"always" is not one of Always, OnFailure, Never', "did you mean Always?"),
        ("probes", {}, NOT_YET, "remove it for now"),
        ("idleTimeout", "1h", NOT_YET, "remove it for now"),
        ("enforcement.require", [], NOT_YET, "remove it for now"),
        ("enforcement.disk.action", "escalate", f"escalate {NOT_YET}", ""),
        ("network.mode", "egress", f"egress {NOT_YET}", ""),
        ("network.mode", "host", "host can never be set: a sandbox never shares the host's network", ""),
        ("privileged", True, "can never be set", "a sandbox is never privileged"),
        ("hostNetwork", True, "can never be set", "a sandbox never shares the host's network"),
        ("hostPID", True, "can never be set", "a sandbox never sees the host's processes"),
        ("devices", [], "can never be set", "a sandbox is never given the host's devices"),
        (
            "capabilities.drop",
            ["ALL"],
            "can never be set",
            "all are dropped already",
        ),
        ("resources.limits.memory", "5 kilo", "'5 kilo' is not an amount of memory; write 512Mi, 1Gi or 512m", ""),
        ("resources.limits.cpu", "0.0001", "'0.0001' is finer than a thousandth of a core; the least is 1m", ""),
        ("resources.limits.pids", 0, "0 is too small; the least is 1", ""),
        ("resources.limits.pids", "9", 'must be a whole number, not "9"', "write it without quotes"),
        ("enforcement.warnAt", 80, "must be text, not 80", "write it as 80%"),
        ("enforcement.warnAt", "180%", "'180%' is not a percentage; write 80%", ""),
        ("ttl", "1 day", "'1 day' is not a duration; write 90s, 10m or 1h30m", ""),
        ("user", 1000, "must be text, not 1000", "put it in quotes"),
        ("command", "run me", 'must be a list, not "run me"', "write [a, b], or one '- ' line each"),
        ("resources", None, "must be a mapping, not null", "remove the field, or give it a value"),
        ("dependsOn", ["a", "a"], "holds the same entry twice", ""),
    ],
)
def test_a_fault_names_its_field_and_what_is_right(field: str, value: Any, message: str, hint: str) -> None:
    spec: Any = value
    for part in reversed(field.split(".")):
        spec = {part: spec}
    assert faults(manifest(**spec)) == [f"spec.{field}: {message} | {hint}"]


def test_a_skill_has_a_path_and_one_of_two_validations() -> None:
    assert faults(manifest(skill={"validation": "stric"})) == [
        'spec.skill.path: is missing | for example path: "./skills/deep-research"',
        'spec.skill.validation: "stric" is not one of strict, lenient | did you mean strict?',
    ]
    assert faults(manifest(skill={"path": "./skills/web"})) == []


def test_only_what_docker_grants_by_default_can_be_given_back() -> None:
    assert faults(manifest(capabilities={"add": sorted(GRANTABLE)})) == []
    (fault,) = faults(manifest(capabilities={"add": ["SYS_ADMIN"]}))
    assert fault.startswith(f'spec.capabilities.add.0: "SYS_ADMIN" is not one of {", ".join(sorted(GRANTABLE))}')


@pytest.mark.parametrize("time", ["2027-01-31 18:00", "2027-01-31", "2027-01-31T18:00:00", "tomorrow"])
def test_a_shutdown_time_needs_a_zone(time: str) -> None:
    wanted = "is not an RFC 3339 time with its zone; write 2027-01-31T18:00:00Z"
    assert faults(manifest(shutdownTime=time)) == [f"spec.shutdownTime: {time!r} {wanted} | "]


def test_a_variable_has_a_value_or_a_reference() -> None:
    both = {"name": "B", "value": "b", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    assert faults(manifest(env=[{"name": "A"}, both])) == [
        "spec.env.0.value: is missing, and so is valueFrom; write one of them | ",
        "spec.env.1: has both value and valueFrom; keep one | ",
    ]


def test_a_missing_field_is_named() -> None:
    assert faults(manifest(filesystem={"mounts": [{"source": "x"}]})) == [
        "spec.filesystem.mounts.0.target: is missing | "
    ]


@pytest.mark.parametrize("name", ["../web", "Web", "-web", "web\n", "w" * 64, "", "a/b"])
def test_a_name_is_an_rfc_1123_label(name: str) -> None:
    body = manifest() | {"metadata": {"name": name}}
    assert [fault.partition(":")[0] for fault in faults(body)] == ["metadata.name"]


def test_a_label_is_refused_at_its_key_and_at_its_value() -> None:
    body = manifest() | {"metadata": {"name": "web", "labels": {"a b": 1}}}
    assert [fault.partition(":")[0] for fault in faults(body)] == ["metadata.labels.a b"] * 2


def test_null_times_are_as_good_as_absent_ones() -> None:
    assert faults(manifest(shutdownTime=None, ttl=None)) == []


@pytest.mark.parametrize(
    ("head", "hint"),
    [
        ({"apiVersion": "v1", "kind": "Pod"}, "supported: sandkeeper.dev/v1alpha1"),
        ({"apiVersion": API_VERSION, "kind": "sandbox"}, "did you mean Sandbox?"),
        ({"apiVersion": API_VERSION, "kind": "Deployment"}, "supported: Sandbox"),
        ({"apiVersion": API_VERSION}, f"supported: apiVersion: {API_VERSION}, kind: Sandbox"),
        ({}, f"supported: apiVersion: {API_VERSION}, kind: Sandbox"),
        ({"apiVersion": [], "kind": {}}, "supported: sandkeeper.dev/v1alpha1"),
    ],
)
def test_an_unknown_kind_is_told_what_is_supported(head: dict[str, Any], hint: str) -> None:
    found = default_kinds().find(head)
    assert not isinstance(found, Kind)
    assert found.hint == hint


def test_another_kind_can_be_registered() -> None:
    registry = default_kinds()
    registry.register(Kind(API_VERSION, "Policy", {"type": "object"}))
    found = registry.find({"apiVersion": API_VERSION, "kind": "Policy"})
    assert isinstance(found, Kind)
    assert found.name == "Policy"


@pytest.mark.parametrize("kind", ["Pod", "../../pyproject", ""])
def test_a_kind_without_schema_is_a_usage_error(kind: str) -> None:
    with pytest.raises(UsageError):
        load_schema(kind)


_QUANTITY = st.from_regex(r"\A[0-9]{0,4}[.]?[0-9]{0,2}(m|Mi|M|s|h|%|ms|x|Ki|b|d)?(5s)?\Z")


@pytest.mark.parametrize(
    ("path", "parse"),
    [
        (("resources", "limits", "memory"), parse_memory),
        (("resources", "limits", "cpu"), parse_cpu),
        (("enforcement", "warnAt"), parse_percent),
        (("startupDeadline",), parse_duration),
    ],
)
@given(text=_QUANTITY)
def test_what_reads_as_a_quantity_passes_the_published_pattern(path: tuple[str, ...], parse: Any, text: str) -> None:
    schema = load_schema_of(path)
    try:
        parse(text)
    except QuantityError:
        return
    assert re.search(schema["pattern"], text)


def load_schema_of(path: tuple[str, ...]) -> dict[str, Any]:
    schema: dict[str, Any] = load_schema("Sandbox")["properties"]["spec"]
    for part in path:
        schema = schema["properties"][part]
    assert schema["format"] in format_checker().checkers
    return schema


def test_the_published_file_is_the_one_that_is_used() -> None:
    published = Path(__file__).parents[2] / "schemas/sandkeeper.dev/sandbox_v1alpha1.json"
    assert load_schema("Sandbox") == json.loads(published.read_text())
