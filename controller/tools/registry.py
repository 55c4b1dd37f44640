"""Which tools there are to run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from controller.model.errors import ToolError, ToolUnavailableError
from controller.model.printable import printable
from controller.skill.definition import Tool, ToolSandbox
from controller.tools.builtin import BuiltinTool, builtin_tools


class ToolRegistry:
    """Tools by name: those built in, and those that a user adds. What nobody added is unavailable, never faked."""

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            self.register(tool)

    @classmethod
    def with_builtin(cls) -> Self:
        """One that has read_file, write_file, list_files, execute_code, run_command and codebase_search."""
        return cls(builtin_tools())

    def register(self, tool: Tool) -> None:
        """Add a tool; one of the same name is replaced. Raises ToolError on one that has no name."""
        if not tool.name:
            raise ToolError("a tool without a name cannot be called: give it one")
        self._tools[tool.name] = tool

    def get(self, name: str) -> Tool | None:
        """The tool of that name."""
        return self._tools.get(name)

    def is_available(self, name: str) -> bool:
        """Whether there is such a tool, and it can be run: it has an implementation or a `run` of its own."""
        tool = self._tools.get(name)
        if tool is None:
            return False
        return tool.implementation is not None or type(tool).run not in (Tool.run, BuiltinTool.run)

    def names(self) -> tuple[str, ...]:
        """The names of the tools that can be run, sorted."""
        return tuple(sorted(name for name in self._tools if self.is_available(name)))

    def run(self, name: str, sandbox: ToolSandbox, /, **arguments: Any) -> Any:
        """Run a tool in a sandbox.

        Raises ToolUnavailableError where there is no such tool, ToolError and RuntimeFailure where it fails.
        """
        tool = self._tools.get(name)
        if tool is None or not self.is_available(name):
            raise ToolUnavailableError(
                f"the tool {printable(name)} is not available: there are {', '.join(self.names()) or 'none'}; register "
                "one of that name to have it"
            )
        return tool.run(sandbox, **arguments)
