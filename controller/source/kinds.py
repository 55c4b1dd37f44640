"""The kinds of manifest that a source reads: registered with their schema, never wired in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator, ValidationError, validators

from controller.model.errors import UsageError
from controller.model.identity import API_VERSION, SANDBOX
from controller.model.manifest import FieldFault
from controller.source.formats import format_checker
from controller.source.schema_faults import SchemaFault, closest, faults_of


def load_schema(kind: str, api_version: str = API_VERSION) -> dict[str, Any]:
    """The JSON Schema (draft-07) of a kind, from the wheel or from the checkout's `schemas/`.

    Raises UsageError where this version has no such kind.
    """
    group, _, version = api_version.partition("/")
    if not kind.isalnum() or not version.isalnum():
        raise UsageError(f"{kind!r} in {api_version!r} is not a kind; try {SANDBOX}")
    name = f"{kind.lower()}_{version}.json"
    shipped = resources.files("controller.source") / "schemas" / group / name
    checkout = Path(__file__).resolve().parents[2] / "schemas" / group / name
    for candidate in (shipped, checkout):
        if candidate.is_file():
            schema: dict[str, Any] = json.loads(candidate.read_text("utf-8"))
            return schema
    raise UsageError(f"there is no schema of {kind} in {api_version}")


def _pattern(_: Any, pattern: str, instance: object, __: Any) -> Iterator[ValidationError]:
    """The keyword `pattern` with JavaScript's `$`, as the standard has it: Python's also matches before a newline."""
    if isinstance(instance, str) and not _compiled(pattern).search(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern)


_Validator: type[Draft7Validator] = validators.extend(  # type: ignore[no-untyped-call]  # its stub has no types
    Draft7Validator, {"pattern": _pattern}
)


class Kind:
    """One kind in one version, with its validator, which is built once and used for every document."""

    def __init__(self, api_version: str, name: str, schema: Mapping[str, Any]) -> None:
        self.api_version = api_version
        self.name = name
        self.schema = schema
        self._validator = _Validator(schema, format_checker=format_checker())

    def check(self, body: Mapping[str, Any]) -> list[SchemaFault]:
        """What the schema finds wrong with a document."""
        return faults_of(self._validator.iter_errors(body))


@dataclass(frozen=True, slots=True)
class KindRegistry:
    """Kinds by (apiVersion, kind)."""

    kinds: dict[tuple[str, str], Kind] = field(default_factory=dict)

    def register(self, kind: Kind) -> None:
        """Add a kind, in place of the same one registered before."""
        self.kinds[kind.api_version, kind.name] = kind

    def find(self, body: Mapping[str, Any]) -> Kind | FieldFault:
        """The kind of a document, or the fault that names what is supported."""
        api_version, name = body.get("apiVersion"), body.get("kind")
        if api_version is None or name is None:
            missing = "kind" if api_version is not None else "apiVersion"
            return FieldFault((missing,), "is missing", f"supported: {', '.join(self._described())}")
        found = self.kinds.get((api_version, name)) if isinstance(api_version, str) and isinstance(name, str) else None
        if found is not None:
            return found
        versions = sorted({version for version, _ in self.kinds})
        if api_version not in versions:
            return FieldFault(("apiVersion",), f"{api_version!r} is not supported", _choose(api_version, versions))
        names = sorted(known for version, known in self.kinds if version == api_version)
        return FieldFault(("kind",), f"{name!r} is not a kind of {api_version}", _choose(name, names))

    def _described(self) -> list[str]:
        return [f"apiVersion: {version}, kind: {name}" for version, name in sorted(self.kinds)]


def default_kinds() -> KindRegistry:
    """A new registry of the kinds that this version acts on."""
    registry = KindRegistry()
    registry.register(Kind(API_VERSION, SANDBOX, load_schema(SANDBOX)))
    return registry


def _choose(written: object, supported: Sequence[str]) -> str:
    near = closest(str(written), supported)
    return f"did you mean {near}?" if near else f"supported: {', '.join(supported)}"
