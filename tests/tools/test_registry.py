"""Which tools there are, and what becomes of a call to one that is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from controller.model.errors import SandkeeperError, ToolError, ToolUnavailableError
from controller.skill.definition import Tool, ToolSandbox, ToolType
from controller.tools.registry import ToolRegistry
from tests.tools.sandboxes import Bare

BUILTIN = ("codebase_search", "execute_code", "list_files", "read_file", "run_command", "write_file")


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    return Bare(tmp_path)


def test_the_tools_that_are_built_in_are_there_and_described() -> None:
    registry = ToolRegistry.with_builtin()
    assert registry.names() == BUILTIN
    for name in BUILTIN:
        tool = registry.get(name)
        assert tool is not None
        assert tool.name == name
        assert tool.description
        jsonschema.Draft7Validator.check_schema(tool.parameters)
    required = {name: tool.parameters["required"] for name in BUILTIN if (tool := registry.get(name))}
    assert required == {
        "codebase_search": ["pattern"],
        "execute_code": ["code"],
        "list_files": [],
        "read_file": ["file_path"],
        "run_command": ["command"],
        "write_file": ["file_path", "content"],
    }


@pytest.mark.parametrize("name", ["web_search", "database", "nonsense", ""])
def test_what_nobody_registered_is_unavailable_and_never_faked(bare: Bare, name: str) -> None:
    registry = ToolRegistry.with_builtin()
    assert registry.get(name) is None
    assert not registry.is_available(name)
    with pytest.raises(
        ToolUnavailableError, match=f"the tool {name} is not available: there are codebase_search, exec"
    ):
        registry.run(name, bare, query="x")


def test_a_tool_that_is_only_named_is_unavailable(bare: Bare) -> None:
    registry = ToolRegistry([Tool("web_search", ToolType.WEB_SEARCH, "Search the web")])
    assert registry.get("web_search") is not None
    assert not registry.is_available("web_search")
    assert registry.names() == ()
    with pytest.raises(ToolUnavailableError, match=re.escape("there are none; register one")):
        registry.run("web_search", bare)


def test_a_user_registers_a_function_or_a_class(bare: Bare) -> None:
    class Database(Tool):
        def run(self, sandbox: ToolSandbox, **arguments: Any) -> Any:
            return [sandbox.sandbox_id, arguments["name"]]

    def web_search(sandbox: ToolSandbox, query: str) -> str:
        return f"found {query}"

    registry = ToolRegistry.with_builtin()
    registry.register(Tool("web_search", ToolType.WEB_SEARCH, implementation=web_search))
    registry.register(Database("database", ToolType.DATABASE))
    assert registry.is_available("web_search")
    assert registry.is_available("database")
    assert registry.run("web_search", bare, query="x") == "found x"
    assert registry.run("database", bare, name="rows") == ["bare", "rows"]


def test_a_registered_tool_takes_the_place_of_one_of_that_name_in_this_registry_alone(bare: Bare) -> None:
    registry, other = ToolRegistry.with_builtin(), ToolRegistry.with_builtin()
    registry.register(Tool("read_file", ToolType.CUSTOM, implementation=lambda _: "mine"))
    assert registry.run("read_file", bare) == "mine"
    with pytest.raises(ToolError, match="read_file takes file_path: missing a required argument"):
        other.run("read_file", bare)


def test_a_tool_without_a_name_is_refused() -> None:
    tool = Tool("mine", ToolType.CUSTOM)
    tool.name = ""
    with pytest.raises(ToolError, match="without a name"):
        ToolRegistry().register(tool)


def test_a_tools_failure_is_one_of_sandkeepers_errors() -> None:
    assert issubclass(ToolUnavailableError, ToolError)
    assert issubclass(ToolError, SandkeeperError)
