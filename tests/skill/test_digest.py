"""A skill's digest: over everything in it, and over nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.skill import parse_skill
from tests.skill.samples import AGENT, EXAMPLE


@pytest.fixture
def skill(tmp_path: Path) -> Path:
    """A copy of a skill."""
    return shutil.copytree(AGENT / "pdf-forms", tmp_path / "pdf-forms", symlinks=True)


def digest(path: Path) -> str:
    return parse_skill(path).digest


def replaced_link(skill: Path) -> None:
    link = skill / "assets" / "fields.md"
    link.unlink()
    link.symlink_to("../SKILL.md")


@pytest.mark.parametrize(
    "change",
    [
        lambda skill: (skill / "scripts" / "fill.py").open("a").write("\n"),
        lambda skill: (skill / "SKILL.md").open("a").write("\n"),
        lambda skill: (skill / "references" / "fields.md").rename(skill / "references" / "other.md"),
        lambda skill: (skill / "scripts" / "check.sh").chmod(0o644),
        lambda skill: (skill / "assets" / "new").touch(),
        lambda skill: (skill / "empty").mkdir(),
        replaced_link,
    ],
    ids=["script", "skill-file", "rename", "mode", "file", "folder", "link"],
)
def test_any_change_to_the_skill_changes_its_digest(skill: Path, change: Callable[[Path], object]) -> None:
    before = digest(skill)
    change(skill)
    assert digest(skill) != before


def test_an_end_of_a_long_script_counts_though_only_its_beginning_is_looked_at(skill: Path) -> None:
    (skill / "scripts" / "long.py").write_text("#" * 600_000)
    before = digest(skill)
    (skill / "scripts" / "long.py").write_text("#" * 599_999 + "x")
    assert digest(skill) != before


def test_times_place_and_what_tools_leave_change_nothing(skill: Path, tmp_path: Path) -> None:
    before = digest(skill)
    os.utime(skill / "SKILL.md", (0, 0))
    (skill / "scripts" / "__pycache__").mkdir()
    (skill / "scripts" / "__pycache__" / "fill.pyc").touch()
    (skill / ".git").mkdir()
    os.mkfifo(skill / ".git" / "pipe")
    (tmp_path / "other").mkdir()
    assert digest(skill) == before == digest(skill.rename(tmp_path / "other" / "pdf-forms"))


def test_names_cannot_be_shifted_into_contents(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, name, text in ((one, "ab", "c"), (other, "a", "bc")):
        folder.mkdir()
        (folder / "SKILL.md").write_text("# T\n\nSaid.\n")
        (folder / name).write_text(text)
    assert digest(one) != digest(other)


def test_a_single_files_digest_is_its_contents(tmp_path: Path) -> None:
    copied = Path(shutil.copy(EXAMPLE, tmp_path / "copy.md"))
    assert digest(copied) == digest(EXAMPLE)
    copied.write_text(copied.read_text() + "\n")
    assert digest(copied) != digest(EXAMPLE)
