"""From a file's text to documents: strict YAML, the kind's schema, host paths, then what only admission can judge."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from controller.model.identity import Key, digest_of
from controller.model.manifest import Document, Fault, FieldFault, FieldPath
from controller.model.quantity import memory_hint
from controller.source.formats import HOST_PATH, MEMORY, fields_of_format
from controller.source.host_paths import HostPathRefused, HostPathRules
from controller.source.kinds import Kind, KindRegistry
from controller.source.protocol import Admit
from controller.strict_yaml.reader import Place, YamlDocument, read_yaml

DEFAULT_NAMESPACE: Final = "default"
MAX_FAULTS: Final = 1000
"""Faults reported of one document, so that a megabyte of nonsense cannot fill memory and logs; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a document is held against."""

    kinds: KindRegistry
    admit: Admit
    host_paths: HostPathRules


@dataclass(frozen=True, slots=True)
class ManifestText:
    """A file's text and where it came from: `file` as shown to people, `folder` as the base of relative paths."""

    text: str
    file: str
    folder: Path
    saved_at: float = 0.0
    seen_at: float = 0.0


@dataclass(frozen=True, slots=True)
class FileContent:
    """What one file declares, and where each name stands in it.

    `refused` maps keys that could be read off a refused document to its first fault.
    """

    documents: Mapping[Key, Document] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    refused: Mapping[Key, Fault] = field(default_factory=dict)
    places: Mapping[Key, Place] = field(default_factory=dict)

    @property
    def first_error(self) -> Fault | None:
        """The first fault that is not a warning."""
        return next((fault for fault in self.faults if not fault.warning), None)


def read_documents(source: ManifestText, rules: Rules) -> FileContent:
    """Everything that a file's text declares. Never raises on its content."""
    parsed = read_yaml(source.text, source.file)
    documents: dict[Key, Document] = {}
    refused: dict[Key, Fault] = {}
    places: dict[Key, Place] = {}
    faults: list[Fault] = []
    for found in parsed.documents:
        body, problems = _check(found, source, rules)
        key = _key_of(found.root.data)
        if key is not None and key in documents:
            problems.append(_declared_twice(found, source.file, documents[key]))
        errors = [fault for fault in problems if not fault.warning]
        faults.extend(_bounded(problems))
        if not errors and key is not None:
            documents[key] = _document(key, body, found, source)
            places[key] = found.place(("metadata", "name"))
        elif key is not None and key not in documents:
            refused.setdefault(key, errors[0])
    if parsed.broken is not None:
        faults.append(parsed.broken)
    return FileContent(documents, tuple(faults), refused, places)


def _bounded(problems: list[Fault]) -> list[Fault]:
    left_out = len(problems) - MAX_FAULTS
    if left_out <= 0:
        return problems
    last = problems[MAX_FAULTS]
    return [
        *problems[:MAX_FAULTS],
        Fault(last.file, last.line, last.column, f"and {left_out} more faults from here on"),
    ]


def _check(found: YamlDocument, source: ManifestText, rules: Rules) -> tuple[dict[str, Any], list[Fault]]:
    """The document's body, host paths resolved, and its faults in the order they stand in the file."""
    body = found.root.data
    if not isinstance(body, dict):
        return {}, [
            Fault(source.file, *found.root.place, "a manifest is a mapping", hint="begin with apiVersion: and kind:")
        ]
    kind = rules.kinds.find(body)
    if isinstance(kind, FieldFault):
        return body, [*found.faults, _located(found, source.file, kind)]
    if found.faults:
        return body, list(found.faults)
    problems = [_located(found, source.file, wrong.fault, wrong.at_key) for wrong in kind.check(body)]
    if not problems:
        body, refused = _with_real_paths(body, kind, source, rules.host_paths)
        problems = [_located(found, source.file, fault) for fault in refused]
    if not problems:
        problems = [_located(found, source.file, fault) for fault in rules.admit(body)]
        problems += [_warned(found, source.file, path, hint) for path, hint in _memory_hints(kind, body)]
    return body, sorted(problems, key=lambda fault: (fault.line, fault.column))


def _with_real_paths(
    body: dict[str, Any], kind: Kind, source: ManifestText, rules: HostPathRules
) -> tuple[dict[str, Any], list[FieldFault]]:
    named = list(fields_of_format(kind.schema, body, HOST_PATH))
    if not named:
        return body, []
    resolved, refused = copy.deepcopy(body), []
    for path, written in named:
        holder: Any = resolved
        for part in path[:-1]:
            holder = holder[part]
        try:
            holder[path[-1]] = rules.resolve(written, source.folder, holder.get("readOnly", True))
        except HostPathRefused as exc:
            refused.append(FieldFault(path, str(exc), exc.hint))
    return resolved, refused


def _memory_hints(kind: Kind, body: Mapping[str, Any]) -> Iterator[tuple[FieldPath, str]]:
    for path, value in fields_of_format(kind.schema, body, MEMORY):
        hint = memory_hint(value)
        if hint is not None:
            yield path, hint


def _key_of(body: Any) -> Key | None:
    """The key of a document, good or bad, as far as it can be read."""
    metadata = body.get("metadata") if isinstance(body, dict) else None
    if not isinstance(metadata, dict):
        return None
    kind, namespace, name = body.get("kind"), metadata.get("namespace", DEFAULT_NAMESPACE), metadata.get("name")
    if isinstance(kind, str) and isinstance(namespace, str) and isinstance(name, str):
        return Key(kind, namespace, name)
    return None


def _document(key: Key, body: Mapping[str, Any], found: YamlDocument, source: ManifestText) -> Document:
    line = found.root.place[0]
    return Document(key, body, source.file, line, digest_of(body), source.saved_at, source.seen_at)


def _located(found: YamlDocument, file: str, fault: FieldFault, at_key: bool = False) -> Fault:
    line, column = found.key_place(fault.path) if at_key else found.place(fault.path)
    return Fault(file, line, column, fault.message, field_text(fault.path), fault.hint)


def _warned(found: YamlDocument, file: str, path: FieldPath, message: str) -> Fault:
    return Fault(file, *found.place(path), message, field_text(path), warning=True)


def _declared_twice(found: YamlDocument, file: str, first: Document) -> Fault:
    message = f"{first.key} is already declared on line {first.line} of this file"
    return Fault(
        file, *found.place(("metadata", "name")), message, "metadata.name", "keep one of the two, or rename one"
    )


def field_text(path: FieldPath) -> str:
    """A field path as people write it: `spec.env[0].name`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
