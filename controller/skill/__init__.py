"""Skill files: what a folder with SKILL.md, or a .md file, says of an agent's work, tools and environment."""

from controller.model.errors import ToolUnavailableError
from controller.skill.definition import Completed, SkillDefinition, Tool, ToolSandbox, ToolType
from controller.skill.errors import SkillError, SkillNotFoundError
from controller.skill.parse import Inspection, ParsedSkill, Validation, check_skill, inspect_skill, parse_skill

__all__ = [
    "Completed",
    "Inspection",
    "ParsedSkill",
    "SkillDefinition",
    "SkillError",
    "SkillNotFoundError",
    "Tool",
    "ToolSandbox",
    "ToolType",
    "ToolUnavailableError",
    "Validation",
    "check_skill",
    "inspect_skill",
    "parse_skill",
]
