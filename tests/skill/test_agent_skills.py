"""Agent Skills: front matter under strict and lenient validation."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.skill import SkillError, SkillNotFoundError, Validation, check_skill, parse_skill
from tests.skill.samples import AGENT, BROKEN, skill_file

PDF = AGENT / "pdf-forms"
UNREADABLE = ("a-list", "no-skill-file", "not-closed")
MINIMAL = "---\nname: {name}\ndescription: Said.\n{more}---\n{body}\n"


def test_front_matter_gives_the_fields_and_the_body_is_the_system_prompt() -> None:
    skill = parse_skill(PDF, Validation.STRICT).definition
    assert skill.name == "pdf-forms"
    assert skill.description.startswith("Fill in PDF forms")
    assert skill.system_prompt.startswith("# PDF forms\n\nRun `scripts/fill.py`")
    assert skill.metadata == {
        "license": "Apache-2.0",
        "compatibility": "Needs Python 3.11 or newer and no network",
        "metadata": {"author": "sandkeeper", "version": "1.0"},
        "allowed-tools": "Bash(git add:*) Bash(git commit:*) Read Task",
        "file_path": str(PDF / "SKILL.md"),
        "source": "file",
        "version": "1.0",
        "format": "frontmatter",
    }


def test_a_skill_is_its_folder_and_its_file_alike() -> None:
    assert parse_skill(PDF / "SKILL.md") == parse_skill(PDF)


def test_allowed_tools_are_those_that_do_the_same_here() -> None:
    tools = parse_skill(PDF).definition.tools
    assert [tool.name for tool in tools] == ["run_command", "read_file", "Task"]
    assert "Bash(git add:*) Bash(git commit:*)" in tools[0].description


def test_tools_are_found_in_the_body_too(tmp_path: Path) -> None:
    assert parse_skill(AGENT / "notes").definition.get_tool_names() == ["read_file", "write_file"]
    body = "## Tools\n- list_files: See what is there\n- Read: again\n"
    text = MINIMAL.format(name="some", more="allowed-tools: Read, mcp__x\n", body=body)
    tools = parse_skill(skill_file(tmp_path / "some", text)).definition.get_tool_names()
    assert tools == ["read_file", "mcp__x", "list_files", "Read"]


def test_lists_of_allowed_tools_are_taken_with_a_warning(tmp_path: Path) -> None:
    text = MINIMAL.format(name="some", more="allowed-tools:\n  - Bash(git:*)\n  - Read )\n", body="Body.")
    skill = parse_skill(skill_file(tmp_path / "some", text).parent, Validation.STRICT)
    assert skill.definition.get_tool_names() == ["run_command", "read_file"]
    assert [warning.partition("allowed-tools: ")[2][:18] for warning in skill.warnings] == [
        "is not text (write",
        "holds what is no t",
    ]


@pytest.mark.parametrize("folder", sorted(BROKEN.iterdir()), ids=lambda path: path.name[:30])
def test_strict_refuses_what_is_broken_with_every_fault_in_its_place(folder: Path) -> None:
    with pytest.raises(SkillError) as raised:
        parse_skill(folder, Validation.STRICT)
    assert raised.value.faults == tuple(fault for fault in check_skill(folder) if not fault.warning)
    for fault, line in zip(raised.value.faults, str(raised.value).splitlines(), strict=True):
        assert line.startswith(f"{folder}")
        assert f":{fault.line}:{fault.column}: " in line
        assert fault.hint


@pytest.mark.parametrize(
    ("name", "place", "told"),
    [
        ("Upper-Case", "2:7", "name: is not all lowercase (write upper-case)"),
        ("another-folder", "2:7", "name: is not the name of its folder, another-folder (rename one of the two)"),
        ("unknown-field", "4:1", "version: is not a field of an Agent Skill"),
        ("set-twice", "4:1", "description is already set on line 3"),
        ("flow-style", "4:11", "brackets and braces are not taken (write one entry a line, indented)"),
        ("anchored", "4:16", "anchors and aliases are not taken"),
        ("colon-in-value", "3:22", "not valid YAML: mapping values are not allowed"),
        ("long-description", "3:14", "description: has 1025 characters (at most 1024)"),
        ("compatibility-list", "5:3", "compatibility: must be text"),
    ],
)
def test_a_fault_says_where_it_is_and_what_would_be_right(name: str, place: str, told: str) -> None:
    faults = [str(fault) for fault in check_skill(BROKEN / name)]
    assert any(fault.startswith(f"{BROKEN / name}/SKILL.md:{place}: {told}") for fault in faults), faults


@pytest.mark.parametrize("name", sorted(path.name for path in BROKEN.iterdir() if path.name not in UNREADABLE))
def test_lenient_warns_of_the_same_and_goes_on(name: str) -> None:
    strict = [fault for fault in check_skill(BROKEN / name, Validation.STRICT) if not fault.warning]
    skill = parse_skill(BROKEN / name, Validation.LENIENT)
    for fault in strict:
        assert str(fault) in skill.warnings
    assert skill.definition.name
    assert skill.definition.description


def test_lenient_makes_the_best_of_what_is_there() -> None:
    assert parse_skill(BROKEN / "Upper-Case").definition.name == "Upper-Case"
    assert parse_skill(BROKEN / "no-name").definition.name == "no-name"
    assert parse_skill(BROKEN / "no-description").definition.description == "What the body says instead."
    assert parse_skill(BROKEN / "colon-in-value").definition.description == "Use when: the user asks for it"
    assert parse_skill(BROKEN / "flow-style").definition.metadata["metadata"] == {"author": "someone"}
    assert parse_skill(BROKEN / "no-front-matter").definition.name == "Only Headings"


@pytest.mark.parametrize("name", UNREADABLE)
def test_lenient_refuses_what_cannot_be_read(name: str) -> None:
    with pytest.raises(SkillError, match=r":\d:1: "):
        parse_skill(BROKEN / name)


def test_every_scalar_of_front_matter_is_text(tmp_path: Path) -> None:
    text = MINIMAL.format(name="on", more="metadata:\n  a: no\n  b: 22:30\n  c: 0x1F\n", body="Body.")
    skill = parse_skill(skill_file(tmp_path / "on", text).parent, Validation.STRICT).definition
    assert (skill.name, skill.metadata["metadata"]) == ("on", {"a": "no", "b": "22:30", "c": "0x1F"})


def test_a_skill_cannot_say_where_it_came_from() -> None:
    skill = parse_skill(BROKEN / "unknown-field").definition
    assert skill.metadata["file_path"] == str(BROKEN / "unknown-field" / "SKILL.md")
    assert (skill.metadata["source"], skill.metadata["version"]) == ("file", "2.0")


def test_line_ends_of_windows_change_nothing(tmp_path: Path) -> None:
    text = MINIMAL.format(name="some", more="", body="Body.\nMore.").replace("\n", "\r\n")
    path = skill_file(tmp_path / "some", "")
    path.write_bytes(text.encode())
    assert parse_skill(path.parent, Validation.STRICT).definition.system_prompt == "Body.\nMore."


def test_a_file_of_any_name_may_have_front_matter(tmp_path: Path) -> None:
    path = skill_file(tmp_path, MINIMAL.format(name="some", more="", body="Body."), "any_name.md")
    skill = parse_skill(path, Validation.STRICT).definition
    assert (skill.name, skill.system_prompt, skill.metadata["format"]) == ("some", "Body.", "frontmatter")


def test_a_byte_order_mark_is_refused_by_strict_only(tmp_path: Path) -> None:
    folder = skill_file(tmp_path / "some", "\ufeff" + MINIMAL.format(name="some", more="", body="Body.")).parent
    assert next(str(fault)[-60:] for fault in check_skill(folder)).endswith("(save it as UTF-8 without one)")
    assert parse_skill(folder).definition.name == "some"


def test_what_is_not_there_is_a_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.md:1:1: there is no such file") as raised:
        parse_skill(tmp_path / "nothing.md")
    assert isinstance(raised.value, SkillNotFoundError)
    assert isinstance(raised.value, ValueError)
