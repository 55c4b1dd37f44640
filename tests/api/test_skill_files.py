"""Skill files as people have them: each becomes a sandbox in both modes, or is refused by name."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

import pytest

from controller import SandboxBuilder
from controller.skill.parse import parse_skill
from tests.api.conftest import MakeBuilder
from tests.api.wheels import make_wheel

SKILLS: Final = Path(__file__).parents[1] / "data" / "skills"
GOOD: Final = sorted((*SKILLS.glob("agent/*"), *SKILLS.glob("headings/*.md")))
NEEDY: Final = """# Greeter

## Description
Says a greeting.

## System Prompt
Greet.

## Requirements
- greeting
"""


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_skill_that_needs_no_packages_becomes_a_sandbox(path: Path, builder: SandboxBuilder) -> None:
    parsed = parse_skill(path)
    if parsed.packages:
        parsed.definition.environment_requirements = {}
        id = builder.build_from_skill_definition(parsed.definition)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            id = builder.build_from_skill_file(path)
    info = builder.get_sandbox_info(id)
    assert info is not None
    assert (info["skill_name"], info["status"]) == (parsed.definition.name, "running")
    assert info["skill_description"] == parsed.definition.description
    known = set(builder.list_tools(id)) | set(builder.list_unavailable_tools(id))
    assert known >= set(parsed.definition.get_tool_names())


def test_a_skill_with_packages_has_them_in_a_directory(
    make_builder: MakeBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder, "greeting", "1.0")
    settings = tmp_path / "uv.toml"
    settings.write_text(f'no-index = true\nfind-links = ["{folder}"]\n')
    monkeypatch.setenv("UV_CONFIG_FILE", str(settings))
    skill = tmp_path / "greeter.md"
    skill.write_text(NEEDY)
    builder = make_builder("directory")
    id = builder.build_from_skill_file(skill)
    done = builder.execute_in_sandbox(id, "execute_code", code="import greeting; print(greeting.__name__)")
    assert (done["exit_code"], done["stdout"]) == (0, "greeting\n")
    skill.write_text(NEEDY.replace("- greeting", "- nowhere-to-be-found"))
    with pytest.raises(RuntimeError, match="nowhere-to-be-found"):
        builder.build_from_skill_file(skill)
    assert builder.cleanup_all() == 1
