"""A skill as its users' programs handle it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ToolType(StrEnum):
    """What a tool reaches."""

    FILESYSTEM = "filesystem"
    WEB_SEARCH = "web_search"
    CODEBASE_SEARCH = "codebase_search"
    CODE_EXECUTION = "code_execution"
    DATABASE = "database"
    CUSTOM = "custom"


@dataclass
class Tool:
    """Something that a skill can do."""

    name: str
    tool_type: ToolType
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    implementation: Callable[..., Any] | None = None


@dataclass
class SkillDefinition:
    """What a skill says of itself."""

    name: str
    description: str = ""
    system_prompt: str = ""
    tools: list[Tool] = field(default_factory=list)
    environment_requirements: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def get_tool_names(self) -> list[str]:
        """The tools' names."""
        return [tool.name for tool in self.tools]

    def get_tool_by_name(self, name: str) -> Tool | None:
        """The tool of that name."""
        return next((tool for tool in self.tools if tool.name == name), None)
