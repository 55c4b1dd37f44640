"""The Headings format: what each heading gives, and what stands in where one is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.skill import ParsedSkill, ToolType, parse_skill
from tests.skill.samples import EXAMPLE, HEADINGS, skill_file


def parsed(folder: Path, text: str, name: str = "a_skill.md") -> ParsedSkill:
    return parse_skill(skill_file(folder, text, name))


def test_the_example_is_understood_without_a_warning() -> None:
    skill = parse_skill(EXAMPLE)
    assert (skill.definition.name, skill.warnings) == ("Simple Test Skill", ())
    assert skill.definition.get_tool_names() == ["read_file", "write_file", "list_files"]
    assert (skill.definition.environment_requirements, skill.packages, skill.python_version) == ({}, (), "")


def test_each_heading_gives_its_part() -> None:
    path = HEADINGS / "research_assistant.md"
    skill = parse_skill(path).definition
    assert skill.name == "Web Research Assistant"
    assert skill.description == "Researches a topic on the web and writes summaries."
    assert skill.system_prompt.startswith("You are a web research assistant.\n\n### How to work\n- Search first")
    assert skill.system_prompt.endswith("```sh\n# Not a heading\n```")
    assert skill.metadata == {"file_path": str(path), "source": "file", "version": "1.2.0"}
    assert skill.environment_requirements == {
        "python_version": "3.11",
        "packages": ["requests", "beautifulsoup4>=4.12", "python-dateutil", "pandas", "numpy"],
    }


def test_tools_are_list_items_in_any_dress() -> None:
    skill = parse_skill(HEADINGS / "research_assistant.md")
    assert [(tool.name, tool.tool_type, tool.description) for tool in skill.definition.tools] == [
        ("web_search", ToolType.WEB_SEARCH, "Search the web for information"),
        ("read_file", ToolType.FILESYSTEM, "Read files from the workspace"),
        ("write_file", ToolType.FILESYSTEM, "Write summaries"),
        ("summarize", ToolType.CUSTOM, "Tool for summarize"),
    ]
    (warning,) = skill.warnings
    assert "research_assistant.md:24:1: is no tool: Think before you answer" in warning


def test_what_no_python_installer_gives_is_named_and_left_out() -> None:
    skill = parse_skill(HEADINGS / "frontend_designer.md")
    assert skill.packages == ("jinja2",)
    assert skill.definition.environment_requirements == {"python_version": "3.12", "packages": ["jinja2"]}
    assert skill.not_python == ("nodejs", "npm", "Node.js", "react", "typescript")
    for name in skill.not_python:
        assert any(f" {name} is no Python package and is not installed" in warning for warning in skill.warnings)
    assert any(":17:1: access to the internet is no requirement" in warning for warning in skill.warnings)


def test_known_tools_are_found_where_the_text_mentions_them() -> None:
    skill = parse_skill(HEADINGS / "frontend_designer.md").definition
    assert skill.get_tool_names() == ["read_file", "write_file", "codebase_search"]


def test_a_file_without_headings_has_its_name_and_its_first_paragraph() -> None:
    skill = parse_skill(HEADINGS / "no-title_at_all.md").definition
    assert skill.name == "No Title At All"
    assert skill.description == skill.system_prompt == "Only a paragraph, over two lines."
    assert skill.tools == []


@pytest.mark.parametrize("text", ["", "# \n", "\n\n```\ncode\n```\n", "## Description\n"])
def test_an_empty_file_is_a_skill_of_its_files_name(tmp_path: Path, text: str) -> None:
    skill = parsed(tmp_path, text, "my_custom-skill.md")
    assert skill.definition.name == "My Custom Skill"
    assert skill.definition.description == "No description provided"
    assert "says nowhere what it does" in skill.warnings[0]


def test_instructions_are_a_system_prompt_too_and_the_description_is_the_last_resort(tmp_path: Path) -> None:
    assert parsed(tmp_path, "# T\n\nSaid.\n\n## Instructions\nDo it.\n").definition.system_prompt == "Do it."
    assert parsed(tmp_path, "# T\n\n## Description\nSaid.\n").definition.system_prompt == "Said."


def test_headings_in_code_are_none(tmp_path: Path) -> None:
    skill = parsed(
        tmp_path, "~~~\n# code\n```\n~~~~\n# Title #\n\nSaid.\n```py\n## Tools\n- read_file: no\n"
    ).definition
    assert (skill.name, skill.description, skill.tools[0].description) == ("Title", "Said.", "Tool for read file")


@pytest.mark.parametrize(
    ("line", "version", "packages"),
    [
        ("- Python 3.11", "3.11", ()),
        ("- python>=3.9", "3.9", ()),
        ("- **Python**: 3.10+", "3.10", ()),
        ("- Python 3.12.1 or newer", "3.12.1", ()),
        ("Requires Python 3.8.", "3.8", ()),
        ("- python3", "", ()),
        ("- python-dateutil==2.8", "", ("python-dateutil==2.8",)),
        ("- requests>=2,<3", "", ("requests>=2,<3",)),
        ("1. `httpx[http2]`: asks", "", ("httpx[http2]",)),
        ("* tomli; python_version < '3.11'", "", ("tomli; python_version < '3.11'",)),
        ("- requests (for HTTP)", "", ("requests",)),
        ("- requests, and nothing else", "", ("requests",)),
        ("```\n- in-code\n```", "", ()),
        ("- own @ file:///etc/passwd", "", ()),
        ("- -r /etc/passwd", "", ()),
        ("- --index-url=https://example.invalid", "", ()),
        ("- ../local", "", ()),
        ("- git+https://example.invalid/x", "", ()),
        ("- Node.js (v18)", "", ()),
        ("- react@18", "", ()),
    ],
)
def test_requirements_are_read_as_people_write_them(
    tmp_path: Path, line: str, version: str, packages: tuple[str, ...]
) -> None:
    skill = parsed(tmp_path, f"# T\n\nSaid.\n\n## Requirements\n{line}\n")
    assert (skill.python_version, skill.packages) == (version, packages)
