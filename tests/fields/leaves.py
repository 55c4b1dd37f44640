"""Every leaf of the Sandbox schema, by its path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "sandkeeper.dev" / "sandbox_v1alpha1.json"


def schema_leaves() -> frozenset[str]:
    """Paths such as `spec.network.ports[].hostPort`; `*` stands for a key of the user's own."""
    schema = json.loads(SCHEMA.read_text())
    return frozenset(path for path in _leaves(schema, schema, "") if path not in ("apiVersion", "kind"))


def _leaves(schema: Mapping[str, Any], node: Mapping[str, Any], path: str) -> Iterator[str]:
    node = _followed(schema, node)
    children = {f"{path}.{name}".lstrip("."): child for name, child in node.get("properties", {}).items()}
    if isinstance(node.get("additionalProperties"), dict):
        children[f"{path}.*"] = node["additionalProperties"]
    if isinstance(node.get("items"), dict):
        children[f"{path}[]"] = node["items"]
    if not children:
        yield path
    for name, child in children.items():
        yield from _leaves(schema, child, name)


def _followed(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in node:
        return node
    target: Any = schema
    for step in node["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return {**target, **node}
