"""From a file's text to documents: strict YAML, the kind's schema, host paths, then what only admission can judge."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from controller.model.clock import SystemClock
from controller.model.identity import Key, digest_of
from controller.model.manifest import Document, Fault, FieldFault, FieldPath
from controller.model.quantity import memory_hint
from controller.model.skill import SkillFacts
from controller.source.formats import HOST_PATH, MEMORY, SKILL_PATH, fields_of_format
from controller.source.host_paths import HostPathRefused, HostPathRules
from controller.source.kinds import Kind, KindRegistry
from controller.source.protocol import Admit
from controller.source.skill_fields import named_skills, read_skill
from controller.source.skills import Skills, SkillUse, unread
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
    skills: Skills = field(default_factory=lambda: Skills(unread, SystemClock()))


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

    `refused` maps keys that could be read off a refused document to its first fault. `skills` are those that it names;
    where one of them is not settled, it is to be read again: what names that one is missing.
    """

    documents: Mapping[Key, Document] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    refused: Mapping[Key, Fault] = field(default_factory=dict)
    places: Mapping[Key, Place] = field(default_factory=dict)
    skills: tuple[SkillUse, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether none of its skills may be half written."""
        return all(use.settled for use in self.skills)

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
    skills: list[SkillUse] = []
    for found in parsed.documents:
        checked = _check(found, source, rules)
        problems = checked.faults
        skills += checked.skills
        key = _key_of(found.root.data)
        if key is not None and key in documents:
            problems.append(_declared_twice(found, source.file, documents[key]))
        errors = [fault for fault in problems if not fault.warning]
        faults.extend(_bounded(problems))
        if not errors and key is not None and all(use.settled for use in checked.skills):
            documents[key] = _document(key, checked, found, source)
            places[key] = found.place(("metadata", "name"))
        elif errors and key is not None and key not in documents:
            refused.setdefault(key, errors[0])
    if parsed.broken is not None:
        faults.append(parsed.broken)
    return FileContent(documents, tuple(faults), refused, places, tuple(skills))


def _bounded(problems: list[Fault]) -> list[Fault]:
    left_out = len(problems) - MAX_FAULTS
    if left_out <= 0:
        return problems
    last = problems[MAX_FAULTS]
    return [
        *problems[:MAX_FAULTS],
        Fault(last.file, last.line, last.column, f"and {left_out} more faults from here on"),
    ]


@dataclass(frozen=True, slots=True)
class _Checked:
    """A document's body, host paths resolved, its faults in the order they stand in the file, and its skill."""

    body: dict[str, Any]
    faults: list[Fault]
    skills: tuple[SkillUse, ...] = ()
    skill: SkillFacts | None = None


def _check(found: YamlDocument, source: ManifestText, rules: Rules) -> _Checked:
    body = found.root.data
    if not isinstance(body, dict):
        hint = "begin with apiVersion: and kind:"
        return _Checked({}, [Fault(source.file, *found.root.place, "a manifest is a mapping", hint=hint)])
    kind = rules.kinds.find(body)
    if isinstance(kind, FieldFault):
        return _Checked(body, [*found.faults, _located(found, source.file, kind)])
    if found.faults:
        return _Checked(body, list(found.faults))
    problems = [_located(found, source.file, wrong.fault, wrong.at_key) for wrong in kind.check(body)]
    checked = _Checked(body, problems) if problems else _checked_beyond(found, kind, source, rules)
    return replace(checked, faults=sorted(checked.faults, key=lambda fault: (fault.line, fault.column)))


def _checked_beyond(found: YamlDocument, kind: Kind, source: ManifestText, rules: Rules) -> _Checked:
    """What no schema can say."""
    written = found.root.data
    body, problems = _with_real_paths(written, kind, source, rules.host_paths)
    refused = {fault.path for fault in problems}
    skills = [read_skill(named, rules.skills) for named in named_skills(kind.schema, written, source.folder, refused)]
    facts = next((skill.facts for skill in skills), None)
    problems += [fault for skill in skills for fault in skill.faults]
    if all(fault.warning for fault in problems):
        problems += rules.admit(body, facts)
        problems += [FieldFault(path, hint, warning=True) for path, hint in _memory_hints(kind, body)]
    uses = tuple(use for skill in skills for use in skill.uses)
    return _Checked(body, [_located(found, source.file, fault) for fault in problems], uses, facts)


def _with_real_paths(
    body: dict[str, Any], kind: Kind, source: ManifestText, rules: HostPathRules
) -> tuple[dict[str, Any], list[FieldFault]]:
    named = [each for wanted in (HOST_PATH, SKILL_PATH) for each in fields_of_format(kind.schema, body, wanted)]
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


def _document(key: Key, checked: _Checked, found: YamlDocument, source: ManifestText) -> Document:
    body, skill = checked.body, checked.skill
    digest = digest_of(body if skill is None else {"body": body, "skill": skill.digest})
    return Document(key, body, source.file, found.root.place[0], digest, source.saved_at, source.seen_at, skill)


def _located(found: YamlDocument, file: str, fault: FieldFault, at_key: bool = False) -> Fault:
    line, column = found.key_place(fault.path) if at_key else found.place(fault.path)
    return Fault(file, line, column, fault.message, field_text(fault.path), fault.hint, fault.warning)


def _declared_twice(found: YamlDocument, file: str, first: Document) -> Fault:
    message = f"{first.key} is already declared on line {first.line} of this file"
    return Fault(
        file, *found.place(("metadata", "name")), message, "metadata.name", "keep one of the two, or rename one"
    )


def field_text(path: FieldPath) -> str:
    """A field path as people write it: `spec.env[0].name`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
