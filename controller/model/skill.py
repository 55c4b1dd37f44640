"""What is known of a skill that a manifest names, and where a sandbox finds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

SKILL_TARGET: Final = "/skill"
"""Where a skill's files are inside."""
SKILL_VARIABLE: Final = "SANDKEEPER_SKILL"
"""The variable that tells a sandbox where that is, also where it can be nowhere but at a path of the machine's."""


@dataclass(frozen=True, slots=True)
class SkillFacts:
    """What resolution is given of a skill.

    `path` is where the manifest found it, absolute. `digest` is that of its content, `files` the digest of each file by
    its path in the skill. `python_version` is a version (`3.11`: that one or a later minor one) or a PEP 440 specifier,
    empty where any will do. `tools` are names.
    """

    path: str
    digest: str
    name: str = ""
    description: str = ""
    packages: tuple[str, ...] = ()
    python_version: str = ""
    tools: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SkillRead:
    """A skill that was read, and what was passed over in it."""

    facts: SkillFacts
    warnings: tuple[str, ...] = ()


def is_passed_over(name: str) -> bool:
    """Whether a file or folder of that name is no part of a skill: hidden ones, what editors and Python leave."""
    return name.startswith(".") or name.endswith("~") or name == "__pycache__"
