"""The manifest that a skill is given: what it needs, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.skill import inspect_skill
from controller.skill.manifest import ManifestLine, as_document, least_privilege
from tests.skill.samples import AGENT, EXAMPLE, HEADINGS, skill_file


def lines_for(path: Path, is_strict: bool = True) -> dict[str, ManifestLine]:
    lines = least_privilege(inspect_skill(path), "./skill", is_strict)
    return {".".join(line.path): line for line in lines}


def limits_of(path: Path) -> dict[str, Any]:
    limits: dict[str, Any] = as_document(list(lines_for(path).values()))["spec"]["resources"]["limits"]
    return limits


def test_it_gives_no_network_and_no_root_to_write_to() -> None:
    lines = lines_for(AGENT / "pdf-forms")
    assert lines["spec.network.mode"].value == "none"
    assert lines["spec.filesystem.readOnlyRoot"].value is True
    assert lines["spec.isolation"].value == "container"


def test_each_choice_has_its_reason() -> None:
    for name, line in lines_for(AGENT / "pdf-forms").items():
        assert line.reason or name in ("apiVersion", "kind")


def test_the_image_is_of_the_version_that_is_named() -> None:
    named, unnamed = lines_for(AGENT / "pdf-forms")["spec.image"], lines_for(EXAMPLE)["spec.image"]
    assert (named.value, named.reason.endswith("SKILL.md:18")) == ("python:3.12-slim", True)
    assert unnamed.value == "python:3.11-slim"


def test_a_skill_that_only_keeps_files_gets_little() -> None:
    assert limits_of(EXAMPLE) == {"memory": "128Mi", "cpu": "0.5", "pids": 32, "disk": "256Mi", "openFiles": 256}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("## Tools\n- run_command: Run\n", "the default: tools run code (run_command)"),
        ("## Requirements\n- a\n- b\n- c\n- d\n", "the default: it has packages (a, b, c and 1 more)"),
    ],
)
def test_a_skill_that_runs_code_gets_the_defaults(tmp_path: Path, body: str, reason: str) -> None:
    path = skill_file(tmp_path, f"# T\n\nSaid.\n\n{body}", "a.md")
    assert lines_for(path)["spec.resources.limits.memory"].reason == reason
    assert limits_of(path)["pids"] == 128


def test_a_web_tool_opens_no_network_and_the_reason_says_how() -> None:
    line = lines_for(HEADINGS / "research_assistant.md")["spec.network.mode"]
    assert line.value == "none"
    assert line.reason.startswith("web_search: yours to register")


def test_it_asks_for_strict_validation_only_where_the_skill_passes_it() -> None:
    assert lines_for(AGENT / "notes", is_strict=True)["spec.skill.validation"].value == "strict"
    assert lines_for(AGENT / "notes", is_strict=False)["spec.skill.validation"].value == "lenient"


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Simple Test Skill", "simple-test-skill"),
        ("überblick", "uberblick"),
        ("C++ & co.", "c-co"),
        ("-" * 3 + "x" * 70, "x" * 63),
        ("y" * 62 + " " + "z", "y" * 62),
    ],
)
def test_the_sandbox_has_the_skills_name_as_far_as_it_may(tmp_path: Path, title: str, name: str) -> None:
    path = skill_file(tmp_path, f"# {title}\n\nSaid.\n", "a.md")
    assert lines_for(path)["metadata.name"].value == name


def test_a_name_of_which_nothing_is_left_is_the_digests(tmp_path: Path) -> None:
    path = skill_file(tmp_path, "# 概要\n\nSaid.\n", "a.md")
    assert lines_for(path)["metadata.name"].value == f"skill-{inspect_skill(path).skill.digest[:8]}"
