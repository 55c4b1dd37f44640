"""A skill file as a definition."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from controller.model.errors import UsageError
from controller.skill.definition import SkillDefinition, Tool, ToolType


class Validation(StrEnum):
    """How strictly a skill is read."""

    STRICT = "strict"
    LENIENT = "lenient"


@dataclass(frozen=True, slots=True)
class ParsedSkill:
    """What a skill file says."""

    definition: SkillDefinition
    packages: tuple[str, ...]
    python_version: str
    not_python: tuple[str, ...]
    warnings: tuple[str, ...]
    digest: str


def parse_skill(path: Path, validation: Validation = Validation.LENIENT) -> ParsedSkill:
    """Read a skill. Raises UsageError."""
    if validation is Validation.STRICT:
        raise UsageError("not yet")
    file = path / "SKILL.md" if path.is_dir() else path
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError as exc:
        raise UsageError(f"{file}:1: it is not UTF-8") from exc
    if not text.strip():
        raise UsageError(f"{file}:1: it is empty: write a heading with the skill's name")
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    tools = re.findall(r"^[-*] (\w+)(?::\s*(.*))?$", sections.get("Tools", ""), re.MULTILINE)
    wanted = re.findall(r"^[-*] (\S.*)$", sections.get("Requirements", ""), re.MULTILINE)
    packages = tuple(line.strip() for line in wanted if not line.lower().startswith("python "))
    definition = SkillDefinition(
        name=title[1].strip() if title else file.stem,
        description=sections.get("Description", "").strip(),
        system_prompt=sections.get("System Prompt", "").strip(),
        tools=[Tool(name, ToolType.FILESYSTEM, said) for name, said in tools],
        environment_requirements={"python_version": "3.11", "packages": list(packages)},
        metadata={"file_path": str(file)},
    )
    return ParsedSkill(definition, packages, "3.11", (), (), hashlib.sha256(text.encode()).hexdigest())
