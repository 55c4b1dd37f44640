"""From a path to a skill: read within limits, understood in either format, refused with every fault in its place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from controller.model.manifest import Fault
from controller.model.printable import printable
from controller.skill.agent_skill import check_front_matter
from controller.skill.definition import SkillDefinition, Tool
from controller.skill.dependencies import find_dependencies
from controller.skill.errors import SkillError
from controller.skill.findings import Findings, Validation
from controller.skill.front_matter import FrontMatter, has_front_matter, read_front_matter
from controller.skill.headings import NO_DESCRIPTION, Headings, name_of_file
from controller.skill.requirements import Package, Requirements
from controller.skill.text import Text, decode
from controller.skill.tool_names import allowed_tools
from controller.skill.tree import SKILL_FILES, SkillFiles, read_folder, read_single

_SUFFIXES: Final = (".md", ".markdown")
_MOST_LINES: Final = 100_000
_OURS: Final = ("file_path", "source", "format")


@dataclass(frozen=True)
class ParsedSkill:
    """A skill as it was understood.

    `packages` are Python requirements (PEP 508), `python_version` such as `3.11` or empty where the skill says nothing,
    `not_python` what it needs beyond and no Python installer gives it; `digest` is over all its files.
    """

    definition: SkillDefinition
    packages: tuple[str, ...]
    python_version: str
    not_python: tuple[str, ...]
    warnings: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class Inspection:
    """A skill with the reasons for what was understood.

    `path` is what a manifest names; `packages` have the places that ask for them, `not_python` maps names to theirs,
    `python_from` is the place that names the version; `faults` are warnings all, under the given validation.
    """

    skill: ParsedSkill
    path: Path
    packages: tuple[Package, ...]
    not_python: Mapping[str, str]
    python_from: str
    scripts: tuple[str, ...]
    faults: tuple[Fault, ...]


def parse_skill(path: Path, validation: Validation = Validation.LENIENT) -> ParsedSkill:
    """The skill at a path: a folder with SKILL.md, or a .md file of either format.

    Strict validation refuses whatever the Agent Skills specification refuses of a skill with front matter, or of a
    folder; lenient warns and goes on. Raises SkillError with file:line:column and what would be right.
    """
    return inspect_skill(path, validation).skill


def inspect_skill(path: Path, validation: Validation = Validation.LENIENT) -> Inspection:
    """The same, with the reasons. Raises SkillError."""
    found, findings = _understand(Path(path), validation)
    faults = findings.faults(validation)
    if found is None or any(not fault.warning for fault in faults):
        raise SkillError([fault for fault in faults if not fault.warning])
    return found.inspection(tuple(faults))


def check_skill(path: Path, validation: Validation = Validation.STRICT) -> list[Fault]:
    """Every fault and warning of the skill at a path, by file and place. Never raises on what it finds."""
    try:
        return _understand(Path(path), validation)[1].faults(validation)
    except SkillError as exc:
        return list(exc.faults)


@dataclass(frozen=True)
class _Source:
    """A skill's files as read. `shown` is the name of the skill file, `folder` that of its folder, if it has one."""

    path: Path
    shown: str
    main: str
    folder: str | None
    files: SkillFiles


@dataclass(frozen=True)
class _Found:
    """What was understood."""

    source: _Source
    definition: SkillDefinition
    requirements: Requirements
    scripts: tuple[str, ...]

    def inspection(self, faults: tuple[Fault, ...]) -> Inspection:
        found = self.requirements
        packages = tuple(found.packages.values())
        skill = ParsedSkill(
            definition=self.definition,
            packages=tuple(package.requirement for package in packages),
            python_version=found.python,
            not_python=tuple(found.not_python),
            warnings=tuple(printable(fault) for fault in faults),
            digest=self.source.files.digest,
        )
        return Inspection(skill, self.source.path, packages, found.not_python, found.python_from, self.scripts, faults)


def _understand(path: Path, validation: Validation) -> tuple[_Found | None, Findings]:
    source, findings = _read(path), Findings()
    text = decode(source.shown, source.files.texts[source.main], findings)
    if len(text.lines) > _MOST_LINES:
        message = f"has more than {_MOST_LINES} lines"
        findings.refusals.append(text.fault(_MOST_LINES + 1, message, "move what is long to references/"))
        return None, findings
    front = None
    if has_front_matter(text):
        front = read_front_matter(text, validation is Validation.LENIENT, findings)
        check_front_matter(front, source.folder, findings)
    elif source.folder is not None:
        hint = "begin with ---, name:, description: and ---"
        findings.breaches.append(text.fault(1, "an Agent Skill begins with front matter", hint))
    if findings.refusals:
        return None, findings
    body = Headings(text, front.body, front.body_line) if front else Headings(text, text.lines)
    requirements = Requirements()
    body.requirements(requirements, findings)
    scripts: list[str] = []
    if source.folder is not None:
        scripts = find_dependencies(str(Path(source.shown).parent), source.files.texts, requirements, findings)
    requirements.settle_python(findings, text)
    definition = _definition(source, text, front, body, findings)
    definition.environment_requirements = _environment(requirements)
    return _Found(source, definition, requirements, tuple(scripts)), findings


def _read(path: Path) -> _Source:
    shown = os.path.normpath(path)
    if path.is_dir():
        return _read_folder(path, shown)
    if path.suffix.lower() not in _SUFFIXES and os.path.lexists(path):
        message, hint = "is no skill", "give a folder with SKILL.md, or a .md file"
        raise SkillError([Fault(shown, 1, 1, message, hint=hint)])
    files = read_single(path, shown)
    data = files.texts[SKILL_FILES[0]]
    if path.name in SKILL_FILES and has_front_matter(decode(shown, data, Findings())):
        return _read_folder(path.parent, os.path.normpath(path.parent))
    return _Source(path, shown, SKILL_FILES[0], None, files)


def _read_folder(path: Path, shown: str) -> _Source:
    files = read_folder(path, shown)
    main = next((name for name in SKILL_FILES if name in files.texts), None)
    if main is None:
        hint = "put the skill's description there, or give a .md file"
        raise SkillError([Fault(shown, 1, 1, "holds no SKILL.md", hint=hint)])
    return _Source(path, os.path.normpath(f"{shown}/{main}"), main, Path(os.path.realpath(path)).name, files)


def _definition(
    source: _Source, text: Text, front: FrontMatter | None, body: Headings, findings: Findings
) -> SkillDefinition:
    fields = front.fields if front else {}
    name = _text(fields.get("name")) or _unsaid_name(source, front, body)
    description = _text(fields.get("description")) or body.description()
    if not description:
        description = NO_DESCRIPTION
        findings.warnings.append(text.fault(1, "the skill says nowhere what it does", "add a ## Description"))
    prompt = "\n".join(front.body).strip() if front else body.system_prompt()
    tools: dict[str, Tool] = {}
    for tool in (*(allowed_tools(front, findings) if front else ()), *body.listed_tools(findings)):
        tools.setdefault(tool.name, tool)
    return SkillDefinition(
        name=name,
        description=description,
        system_prompt=prompt or description,
        tools=list(tools.values()) or body.mentioned_tools(),
        metadata=_metadata(source, front, body, findings),
    )


def _unsaid_name(source: _Source, front: FrontMatter | None, body: Headings) -> str:
    if front is not None and source.folder:
        return source.folder
    return body.name() or name_of_file(source.folder or source.path.stem)


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _metadata(source: _Source, front: FrontMatter | None, body: Headings, findings: Findings) -> dict[str, Any]:
    fields = dict(front.fields) if front else {}
    below = fields.get("metadata")
    version = fields.get("version") or (below.get("version") if isinstance(below, dict) else "") or body.version()
    metadata = {name: value for name, value in fields.items() if name not in ("name", "description", *_OURS)}
    metadata["file_path"] = os.path.abspath(source.shown)  # noqa: PTH100 - a link keeps its own name
    metadata["source"] = "file"
    if version:
        metadata["version"] = version
    if front is not None:
        metadata["format"] = "frontmatter"
        for name in _OURS:
            if name in fields:
                findings.warnings.append(front.key_fault(name, "is set by the reader", "rename it"))
    return metadata


def _environment(requirements: Requirements) -> dict[str, Any]:
    found: dict[str, Any] = {"python_version": requirements.python} if requirements.python else {}
    if found or requirements.packages or requirements.not_python:
        found["packages"] = [package.requirement for package in requirements.packages.values()]
    return found


__all__ = ["Inspection", "ParsedSkill", "SkillError", "Validation", "check_skill", "inspect_skill", "parse_skill"]
