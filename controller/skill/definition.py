"""What a skill is: a prompt, the tools that it uses, and what those need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from controller.model.errors import ToolUnavailableError

_NO_ENV: Mapping[str, str] = {}


class ToolType(StrEnum):
    """What kind of thing a tool does."""

    FILESYSTEM = "filesystem"
    WEB_SEARCH = "web_search"
    CODEBASE_SEARCH = "codebase_search"
    CODE_EXECUTION = "code_execution"
    DATABASE = "database"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class Completed:
    """A command's end. `truncated`: its output was longer than is kept."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    truncated: bool = False


class ToolSandbox(Protocol):
    """The sandbox that a tool works in."""

    @property
    def sandbox_id(self) -> str:
        """Its id."""

    @property
    def workspace_path(self) -> Path:
        """Its workspace on the host."""

    @property
    def isolation_mode(self) -> str:
        """`container` or `directory`."""

    def exec(
        self,
        command: Sequence[str],
        stdin: bytes = b"",
        timeout: float | None = None,
        env: Mapping[str, str] = _NO_ENV,
    ) -> Completed:
        """Run a command inside to its end; after `timeout` seconds its whole tree is killed. Raises RuntimeFailure."""


@dataclass
class Tool:
    """Something that a skill can do in its sandbox. `parameters` is a JSON Schema of its arguments."""

    name: str
    tool_type: ToolType
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    implementation: Callable[..., Any] | None = None

    def run(self, sandbox: ToolSandbox, **arguments: Any) -> Any:
        """Do it. Raises ToolUnavailableError where there is no implementation."""
        if self.implementation is None:
            raise ToolUnavailableError(f"{self.name} has no implementation: register a tool of that name that has one")
        return self.implementation(sandbox, **arguments)


@dataclass
class SkillDefinition:
    """A skill as its file describes it."""

    name: str
    description: str
    system_prompt: str
    tools: list[Tool] = field(default_factory=list)
    environment_requirements: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def get_tool_names(self) -> list[str]:
        """The names of its tools, in the file's order."""
        return [tool.name for tool in self.tools]

    def get_tool_by_name(self, name: str) -> Tool | None:
        """Its tool of that name."""
        return next((tool for tool in self.tools if tool.name == name), None)
