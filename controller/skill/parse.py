"""Reading a skill: its front matter, what it needs, and the digest of its files."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import yaml

from controller.model.errors import SandkeeperError
from controller.skill.definition import SkillDefinition, Tool, ToolType

_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Validation(StrEnum):
    """How much of the Agent Skills specification a skill is held to."""

    STRICT = "strict"
    LENIENT = "lenient"


class SkillError(SandkeeperError):
    """A skill that cannot be used; the text begins with file:line and says what would be right."""


@dataclass(frozen=True)
class ParsedSkill:
    """What a skill says and needs. `digest` covers every file of it."""

    definition: SkillDefinition
    packages: tuple[str, ...]
    python_version: str
    not_python: tuple[str, ...]
    warnings: tuple[str, ...]
    digest: str


def parse_skill(path: Path, validation: Validation = Validation.LENIENT) -> ParsedSkill:
    """Read a folder with SKILL.md, or a .md file. Raises SkillError."""
    file = path / "SKILL.md" if path.is_dir() else path
    matter = _front_matter(file)
    name, description = matter.get("name"), matter.get("description")
    if not name or not description:
        raise SkillError(f"{file}:1: has no name or no description; begin with '---', name: and description:")
    warnings = []
    if not _NAME.fullmatch(str(name)):
        if validation is Validation.STRICT:
            raise SkillError(f"{file}:2: name {name!r} is not lowercase letters, digits and single hyphens")
        warnings.append(f"{file}:2: name {name!r} is not lowercase letters, digits and single hyphens")
    tools = [Tool(each, ToolType.CUSTOM) for each in str(matter.get("allowed-tools", "")).split()]
    packages = _requirements(path / "requirements.txt") if path.is_dir() else ()
    python_version = str((matter.get("metadata") or {}).get("python", ""))
    definition = SkillDefinition(str(name), str(description), tools=tools)
    return ParsedSkill(definition, packages, python_version, (), tuple(warnings), _digest(path))


def _front_matter(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise SkillError(f"{file}:1: cannot be read: {exc}; a skill is a folder with a SKILL.md") from exc
    parts = text.split("---\n", 2)
    if len(parts) < 3 or parts[0]:
        raise SkillError(f"{file}:1: has no front matter; begin with '---', name: and description:")
    try:
        matter = yaml.safe_load(parts[1])
    except yaml.YAMLError as exc:
        raise SkillError(f"{file}:2: the front matter is not YAML") from exc
    if not isinstance(matter, dict):
        raise SkillError(f"{file}:2: the front matter is not a mapping")
    return matter


def _requirements(file: Path) -> tuple[str, ...]:
    if not file.is_file():
        return ()
    lines = (line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines())
    return tuple(line for line in lines if line)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            name = str(file.relative_to(path if path.is_dir() else path.parent))
            executable = bool(file.stat().st_mode & 0o100)
            digest.update(f"{name}\0{executable}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()
