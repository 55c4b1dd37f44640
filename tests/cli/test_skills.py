"""skill inspect and skill validate: what is understood of a skill, and what is wrong with it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from controller.cli.main import cli
from tests.skill.samples import AGENT, BROKEN, EXAMPLE, HEADINGS, skill_file

GOOD = [EXAMPLE, AGENT / "notes", AGENT / "pdf-forms", AGENT / "überblick", *sorted(HEADINGS.iterdir())]
LENIENT_ONLY = [BROKEN / name for name in ("Upper-Case", "colon-in-value", "no-front-matter", "unknown-field")]


def alone(*arguments: str) -> Result:
    """A command line without a daemon."""
    return CliRunner().invoke(cli, arguments, prog_name="sandkeeper")


def faults_of(manifest: str, folder: Path) -> list[dict[str, str]]:
    """What `validate` says of it."""
    path = folder / "manifest.yaml"
    path.write_text(manifest)
    faults: list[dict[str, str]] = json.loads(alone("validate", str(path), "-o", "json").stdout)["faults"]
    return faults


@pytest.mark.parametrize("path", [*GOOD, *LENIENT_ONLY], ids=lambda path: path.name)
def test_the_manifest_that_is_shown_is_valid_as_it_stands(path: Path, tmp_path: Path) -> None:
    """Where it lies beside the skill, that is: here the skill is outside of its folder."""
    shown = alone("skill", "inspect", str(path)).stdout
    manifest = yaml.safe_load(shown)
    assert manifest["spec"]["skill"]["path"] in (str(path), f"./{os.path.relpath(path)}")
    assert [fault for fault in faults_of(shown, tmp_path) if not fault["field"].startswith("spec.skill")] == []


def test_inspect_shows_what_was_understood_and_a_reason_for_each_line() -> None:
    shown = alone("skill", "inspect", str(AGENT / "pdf-forms")).stdout
    comments = [line for line in shown.splitlines() if line.startswith("#")]
    assert comments[0] == "# Skill: pdf-forms"
    assert any(re.fullmatch(r"#   pypdf==5\.\* \(.*/requirements\.txt:2\)", line) for line in comments)
    assert any(re.fullmatch(r"#   node \(.*/scripts/render\.mjs:1\)", line) for line in comments)
    assert any(line.startswith("# warning: ") for line in comments)
    fields = [line for line in shown.splitlines()[len(comments) :] if not line.endswith(":")]
    assert [line for line in fields if "  # " not in line] == ["apiVersion: sandkeeper.dev/v1alpha1", "kind: Sandbox"]


def test_inspect_as_json_has_the_same_in_parts() -> None:
    document = json.loads(alone("skill", "inspect", str(AGENT / "pdf-forms"), "-o", "json").stdout)
    assert list(document) == ["skill", "warnings", "manifest", "reasons"]
    assert document["skill"]["pythonVersion"] == "3.12"
    assert document["skill"]["packages"][0]["requirement"] == "pypdf==5.*"
    assert document["skill"]["tools"][0]["type"] == "code_execution"
    assert document["manifest"] == yaml.safe_load(alone("skill", "inspect", str(AGENT / "pdf-forms")).stdout)
    assert "spec.network.mode" in document["reasons"]


def test_a_skill_below_the_working_directory_is_named_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skill_file(tmp_path / "skills", "# T\n\nSaid.\n", "t.md")
    monkeypatch.chdir(tmp_path)
    assert yaml.safe_load(alone("skill", "inspect", "skills/t.md").stdout)["spec"]["skill"]["path"] == "./skills/t.md"


@pytest.mark.parametrize("name", ["a: b", "#x", "yes", "'", '"', "\\", "é😀", "a\nkind: Other", "- x", "*a", "1_0"])
def test_a_path_of_any_characters_reads_back_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    skill_file(tmp_path / name, "# T\n\nSaid.\n", "t.md")
    monkeypatch.chdir(tmp_path)
    shown = alone("skill", "inspect", f"./{name}/t.md").stdout
    assert yaml.safe_load(shown)["spec"]["skill"]["path"] == f"./{name}/t.md"
    assert yaml.safe_load(shown)["kind"] == "Sandbox"


def test_a_path_that_no_manifest_can_name_is_refused(tmp_path: Path) -> None:
    path = skill_file(tmp_path / os.fsdecode(b"\xff"), "# T\n\nSaid.\n", "t.md")
    result = alone("skill", "inspect", str(path))
    assert (result.exit_code, result.stdout) == (64, "")
    assert "rename it" in result.stderr


def test_what_a_skill_says_ends_no_comment(tmp_path: Path) -> None:
    text = '---\nname: "a\\nkind: Evil"\ndescription: "b\\r\\u2028spec: {}\\e[31m"\n---\nBody.\n'
    shown = alone("skill", "inspect", str(skill_file(tmp_path / "a", text))).stdout
    assert yaml.safe_load(shown)["kind"] == "Sandbox"
    assert "\x1b" not in shown
    assert all(line.startswith("# ") for line in shown.splitlines()[:3])


def test_inspect_refuses_what_cannot_be_read_and_says_where() -> None:
    result = alone("skill", "inspect", str(BROKEN / "not-closed"))
    assert (result.exit_code, result.stdout) == (1, "")
    told = "error: the front matter is not closed (end it with a line ---)"
    assert result.stderr == f"{BROKEN}/not-closed/SKILL.md:1:1: {told}\n"


def test_validate_says_that_good_skills_are() -> None:
    paths = [str(EXAMPLE), str(AGENT / "notes")]
    result = alone("skill", "validate", *paths)
    assert (result.exit_code, result.stdout) == (0, f"no faults in {paths[0]}, {paths[1]}\n")


def test_validate_tells_every_fault_in_its_place() -> None:
    result = alone("skill", "validate", str(BROKEN / "Upper-Case"), str(BROKEN / "set-twice"))
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{BROKEN}/Upper-Case/SKILL.md:2:7: error: name: is not all lowercase (write upper-case)",
        f"{BROKEN}/set-twice/SKILL.md:4:1: error: description is already set on line 3 (keep one of the two)",
    ]


def test_validate_lenient_only_warns_of_the_same() -> None:
    result = alone("skill", "validate", "--lenient", str(BROKEN / "Upper-Case"))
    assert (result.exit_code, "SKILL.md:2:7: warning: name:" in result.stdout) == (0, True)


def test_validate_as_json_has_the_faults_in_parts() -> None:
    result = alone("skill", "validate", str(BROKEN / "Upper-Case"), "-o", "json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["valid"], document["faults"][0]["line"]) == (1, False, 2)


@pytest.mark.parametrize("arguments", [["validate"], ["inspect"], ["inspect", "x", "-o", "table"], ["frobnicate"]])
def test_usage_errors_of_skill_exit_64(arguments: list[str]) -> None:
    assert alone("skill", *arguments).exit_code == 64
