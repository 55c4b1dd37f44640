"""What a skill is, and what its tools are given to work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

from controller.model.errors import ToolUnavailableError

_NO_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({})


class ToolType(StrEnum):
    """What kind of work a tool does."""

    FILESYSTEM = "filesystem"
    WEB_SEARCH = "web_search"
    CODEBASE_SEARCH = "codebase_search"
    CODE_EXECUTION = "code_execution"
    DATABASE = "database"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended. `exit_code` is 128 + N where signal N ended it, 124 after a timeout; `truncated`: output was
    capped.
    """

    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""
    truncated: bool = False


class ToolSandbox(Protocol):
    """The sandbox that a tool works in."""

    @property
    def sandbox_id(self) -> str:
        """The sandbox's id."""

    @property
    def workspace_path(self) -> Path:
        """The workspace as the host sees it, whatever the isolation mode."""

    @property
    def isolation_mode(self) -> str:
        """`container` or `directory`."""

    def exec(
        self,
        command: Sequence[str],
        stdin: bytes = b"",
        timeout: float | None = None,
        env: Mapping[str, str] = _NO_ENVIRONMENT,
    ) -> Completed:
        """Run a command inside to its end, for at most `timeout` seconds; then its whole tree is killed.

        Raises RuntimeFailure.
        """


@dataclass
class Tool:
    """One thing that an agent can do in a sandbox.

    `parameters` is a JSON Schema of its arguments. `implementation` is called with the sandbox and the arguments;
    without one the tool is known by name only, and a subclass may override `run` instead. Raises ValueError on an
    empty name.
    """

    name: str
    tool_type: ToolType
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    implementation: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("Tool name cannot be empty")
        self.tool_type = ToolType(self.tool_type)

    def run(self, sandbox: ToolSandbox, **arguments: Any) -> Any:
        """Do the work in that sandbox. Raises ToolUnavailableError where nobody implements it."""
        if self.implementation is None:
            raise ToolUnavailableError(f"the tool {self.name} has no implementation: register one under that name")
        return self.implementation(sandbox, **arguments)


@dataclass
class SkillDefinition:
    """What a skill file says.

    `environment_requirements` is `{"python_version": "3.11", "packages": ["requests==2.*"]}` as far as the skill says,
    else empty; `metadata` holds `file_path`, `source`, `version` and whatever else the file declares. Raises ValueError
    where the name, the description or the system prompt is empty.
    """

    name: str
    description: str
    system_prompt: str
    tools: list[Tool] = field(default_factory=list)
    environment_requirements: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = {"Skill name": self.name, "Skill description": self.description, "System prompt": self.system_prompt}
        for what, text in given.items():
            if not text:
                raise ValueError(f"{what} cannot be empty")

    def get_tool_names(self) -> list[str]:
        """The names of its tools, in the order of the file."""
        return [tool.name for tool in self.tools]

    def get_tool_by_name(self, name: str) -> Tool | None:
        """The tool of that name; None where there is none."""
        return next((tool for tool in self.tools if tool.name == name), None)
