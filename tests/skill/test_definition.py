"""What skills and tools are to those who make them by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from controller.model.errors import SandkeeperError
from controller.skill import SkillDefinition, Tool, ToolSandbox, ToolType, ToolUnavailableError

SANDBOX = cast(ToolSandbox, object())


def test_a_definition_needs_no_more_than_three_texts() -> None:
    skill = SkillDefinition(name="Small", description="A small one", system_prompt="Be small.")
    assert (skill.tools, skill.environment_requirements, skill.metadata) == ([], {}, {})
    assert (skill.get_tool_names(), skill.get_tool_by_name("read_file")) == ([], None)


def test_tools_are_found_by_name() -> None:
    tools = [Tool("read_file", ToolType.FILESYSTEM, "Read"), Tool("web_search", ToolType.WEB_SEARCH)]
    skill = SkillDefinition("Two", "Two tools", "Use them.", tools)
    assert skill.get_tool_names() == ["read_file", "web_search"]
    assert skill.get_tool_by_name("web_search") is tools[1]


def test_the_types_have_the_values_that_are_known() -> None:
    values = ["filesystem", "web_search", "codebase_search", "code_execution", "database", "custom"]
    assert [kind.value for kind in ToolType] == values


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tool("", ToolType.CUSTOM, "x"), "Tool name cannot be empty"),
        (lambda: SkillDefinition("", "x", "x"), "Skill name cannot be empty"),
        (lambda: SkillDefinition("x", "", "x"), "Skill description cannot be empty"),
        (lambda: SkillDefinition("x", "x", ""), "System prompt cannot be empty"),
    ],
)
def test_what_is_empty_is_a_value_error(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_tool_calls_its_implementation_with_the_sandbox() -> None:
    def search(sandbox: ToolSandbox, **arguments: Any) -> Any:
        return sandbox, arguments

    tool = Tool("web_search", ToolType.WEB_SEARCH, implementation=search)
    assert tool.run(SANDBOX, query="x") == (SANDBOX, {"query": "x"})


def test_a_tool_that_nobody_implements_says_so() -> None:
    with pytest.raises(ToolUnavailableError, match="register one") as raised:
        Tool("web_search", ToolType.WEB_SEARCH).run(SANDBOX)
    assert isinstance(raised.value, SandkeeperError)
