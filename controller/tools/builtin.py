"""The tools that every skill can use, the same in both isolation modes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.model.errors import ToolError
from controller.skill.definition import Tool, ToolSandbox, ToolType
from controller.tools.commands import DEFAULT_SECONDS, LANGUAGES, execute_code, run_command
from controller.tools.files import WorkspaceFiles, text_of
from controller.tools.search import search


@dataclass
class BuiltinTool(Tool):
    """A tool whose arguments are checked: a model that calls it may have them wrong."""

    def run(self, sandbox: ToolSandbox, **arguments: Any) -> Any:
        """Do it. Raises ToolError where an argument is missing or not known, and where it cannot be done."""
        if self.implementation is not None:
            try:
                inspect.signature(self.implementation).bind(sandbox, **arguments)
            except TypeError as exc:
                takes = ", ".join(self.parameters["properties"])
                raise ToolError(f"{self.name} takes {takes}: {exc}") from exc
        return super().run(sandbox, **arguments)


def builtin_tools() -> tuple[Tool, ...]:
    """New ones at each call: they can be changed without changing others'."""
    return (
        _tool(
            read_file,
            ToolType.FILESYSTEM,
            "Read a text file (UTF-8) of the workspace.",
            {"file_path": _text("The file, relative to the workspace.")},
        ),
        _tool(
            write_file,
            ToolType.FILESYSTEM,
            "Write a text file of the workspace, with the folders above it; one that is there is replaced. "
            "Returns its path.",
            {"file_path": _text("The file, relative to the workspace."), "content": _text("What will be in it.")},
        ),
        _tool(
            list_files,
            ToolType.FILESYSTEM,
            "List the names in a folder of the workspace.",
            {"directory_path": _text("The folder, relative to the workspace; the workspace itself if left out.")},
        ),
        _tool(
            execute_code,
            ToolType.CODE_EXECUTION,
            "Run code in the workspace. Returns exit_code, stdout, stderr, truncated and timed_out.",
            {
                "code": _text("The program's text."),
                "language": {"type": "string", "enum": list(LANGUAGES), "default": "python"},
                "timeout": _SECONDS,
            },
        ),
        _tool(
            run_command,
            ToolType.CODE_EXECUTION,
            "Run a command in the workspace. Returns exit_code, stdout, stderr, truncated and timed_out.",
            {
                "command": {
                    "description": "A command line for the shell, or a program and its arguments.",
                    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
                },
                "timeout": _SECONDS,
            },
        ),
        _tool(
            codebase_search,
            ToolType.CODEBASE_SEARCH,
            "Find the lines that match a regular expression (RE2) in a file, or in a folder with all below it but what "
            "version control and package managers keep. Returns path:line:text for each.",
            {
                "pattern": _text("The regular expression; no backreferences, no lookaround."),
                "path": _text("The file or folder, relative to the workspace; all of it if left out."),
            },
        ),
    )


_SECONDS: Final[Mapping[str, Any]] = {
    "type": "number",
    "description": "Seconds after which it is killed with all its processes.",
    "default": DEFAULT_SECONDS,
}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _tool(
    implementation: Callable[..., Any], tool_type: ToolType, description: str, properties: Mapping[str, Any]
) -> Tool:
    parameters = inspect.signature(implementation).parameters.values()
    required = [each.name for each in parameters if each.default is each.empty and each.name != "sandbox"]
    schema = {
        "type": "object",
        "properties": {name: dict(value) for name, value in properties.items()},
        "required": required,
        "additionalProperties": False,
    }
    return BuiltinTool(implementation.__name__, tool_type, description, schema, implementation)


def read_file(sandbox: ToolSandbox, file_path: str) -> str:
    """A file's text. Raises ToolError, where it is not UTF-8 too."""
    return text_of(_files(sandbox).read(file_path), file_path)


def write_file(sandbox: ToolSandbox, file_path: str, content: str) -> str:
    """Write it; the path written, on the host. Raises ToolError."""
    return _files(sandbox).write(file_path, _bytes_of(content))


def list_files(sandbox: ToolSandbox, directory_path: str = ".") -> list[str]:
    """The names in a folder, sorted; of one that is not UTF-8 the bytes are escaped. Raises ToolError."""
    return [_utf8(name) for name in _files(sandbox).names(directory_path)]


def codebase_search(sandbox: ToolSandbox, pattern: str, path: str = ".") -> list[str]:
    """`path:line:text` for each matching line; entries that begin with `…` tell what was left out. Raises ToolError."""
    return search(_files(sandbox), pattern, path)


def _files(sandbox: ToolSandbox) -> WorkspaceFiles:
    return WorkspaceFiles(sandbox.workspace_path)


def _bytes_of(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    if not isinstance(content, str):
        raise ToolError(f"a file's content is text, not {type(content).__name__}: give a text")
    try:
        return content.encode()
    except UnicodeEncodeError as exc:
        raise ToolError(f"the content's character {exc.start} is half a character: leave it out") from exc


def _utf8(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
