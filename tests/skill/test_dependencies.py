"""What a skill depends on, found in its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.skill import ParsedSkill, Validation, inspect_skill, parse_skill
from tests.skill.samples import AGENT, skill_file

FRONT = "---\nname: skill\ndescription: Said.\n---\nBody.\n"


def with_files(folder: Path, files: dict[str, str]) -> ParsedSkill:
    """The skill with these files beside its SKILL.md."""
    root = skill_file(folder / "skill", FRONT).parent
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    return parse_skill(root, Validation.STRICT)


def test_packages_are_found_in_all_places_each_with_its_own() -> None:
    found = inspect_skill(AGENT / "pdf-forms")
    places = {package.requirement: f"{Path(package.file).name}:{package.line}" for package in found.packages}
    assert places == {
        "pypdf==5.*": "requirements.txt:2",
        'reportlab>=4 ; python_version >= "3.9"': "requirements.txt:3",
        "rich>=13": "pyproject.toml:7",
        "click<9": "fill.py:6",
    }
    assert found.skill.packages == tuple(places)
    assert found.scripts == ("scripts/check.sh", "scripts/fill.py", "scripts/render.mjs")
    assert found.skill.python_version == "3.12"


def test_interpreters_that_no_sandbox_has_are_named() -> None:
    skill = parse_skill(AGENT / "pdf-forms")
    assert skill.not_python == ("node",)
    assert any("fill.py:1:1: is run by uv, which a sandbox does not have" in warning for warning in skill.warnings)


def test_requirements_that_pip_alone_understands_are_warned_of(tmp_path: Path) -> None:
    skill = with_files(tmp_path, {"requirements.txt": "-e .\nreact==18\nrequests --hash=sha256:ab\nx @ file:///x\n"})
    assert skill.packages == ("requests",)
    assert [warning.partition("requirements.txt:")[2].partition(" (")[0] for warning in skill.warnings] == [
        "1:1: the option -e is not taken",
        "2:1: react is no Python package and is not installed",
        "3:1: the option --hash is not taken",
        "4:1: x @ file:///x names where to get it, which is not taken",
    ]


@pytest.mark.parametrize(
    ("toml", "warning"),
    [
        ("[project\n", "pyproject.toml:1:9: not valid TOML"),
        ("a = 1\nb = c\n", "pyproject.toml:2:5: not valid TOML: Invalid value"),
        ('[project]\ndynamic = ["dependencies"]\n', "pyproject.toml:2:1: the dependencies are made by a build"),
        ('[tool.poetry.dependencies]\nrequests = "^2"\n', "pyproject.toml:1:1: Poetry's own dependencies are not read"),
        ("a = " + "[" * 5000, "pyproject.toml:1:1: the TOML is nested too deep"),
        ("a = 1\n" * 11_000, "pyproject.toml:1:1: has 66000 characters of TOML; at most 65536 are read"),
        ("\n" + "a." * 257 + "a = 1\n", "pyproject.toml:2:1: the TOML has more than 256 dots in a line"),
        ('[project]\nrequires-python = "^3.11"\n', "pyproject.toml:2:1: requires-python ^3.11 cannot be read"),
    ],
    ids=range(8),
)
def test_a_pyproject_that_cannot_be_used_is_warned_of_and_left_out(tmp_path: Path, toml: str, warning: str) -> None:
    skill = with_files(tmp_path, {"pyproject.toml": toml})
    assert skill.packages == ()
    assert any(warning in told for told in skill.warnings), skill.warnings


@pytest.mark.parametrize(
    ("bounds", "version"),
    [([">=3.10"], "3.11"), ([">=3.12"], "3.12"), (["<3.10"], "3.6"), (["==3.13.*", ">=3.8"], "3.13"), ([], "")],
)
def test_the_version_of_python_is_one_that_all_allow(tmp_path: Path, bounds: list[str], version: str) -> None:
    scripts = {
        f"scripts/{at}.py": f'# /// script\n# requires-python = "{bound}"\n# dependencies = []\n# ///\n'
        for at, bound in enumerate(bounds)
    }
    skill = with_files(tmp_path, scripts)
    assert (skill.python_version, skill.warnings) == (version, ())


def test_bounds_that_exclude_each_other_are_warned_of(tmp_path: Path) -> None:
    block = '# /// script\n# requires-python = "{}"\n# ///\n'
    skill = with_files(tmp_path, {"scripts/a.py": block.format("<3.9"), "scripts/b.py": block.format(">=3.12")})
    assert [warning.partition("SKILL.md:1:1: ")[2].partition(" is not")[0] for warning in skill.warnings] == [
        "Python 3.11",
        "Python 3.11",
    ]
    assert "scripts/a.py:2 asks for, <3.9" in skill.warnings[0]


def test_a_shebang_names_a_version_of_python(tmp_path: Path) -> None:
    skill = with_files(tmp_path, {"scripts/run": "#!/usr/bin/env python3.12\n"})
    assert (skill.python_version, skill.not_python, skill.warnings) == ("3.12", (), ())


@pytest.mark.parametrize(
    ("script", "packages", "warning"),
    [
        ("# /// script\n# dependencies = [\n#   'a',\n# ]\n# ///\n", ("a",), ""),
        ("x = 1\n# /// script\n# dependencies = ['a']\n# ///\n# more\n# ///\n", (), "not valid TOML"),
        ("# /// script\n# dependencies = ['a']\n\n# ///\n", (), "a.py:1:1: the script block is not closed"),
        ("# /// other\n# dependencies = ['a']\n# ///\n", (), ""),
        ("# /// script\n# dependencies = ['a']\n# ///\n\n# /// script\n# ///\n", ("a",), "a.py:5:1: is a second"),
        ("# /// script\r\n# dependencies = ['a']\r\n# ///\r\n", ("a",), ""),
        ("# /// script\n# dependencies = 'a'\n# ///\n", (), ""),
    ],
    ids=range(7),
)
def test_a_script_block_is_read_as_pep_723_says(
    tmp_path: Path, script: str, packages: tuple[str, ...], warning: str
) -> None:
    skill = with_files(tmp_path, {"scripts/a.py": script})
    assert skill.packages == packages
    assert warning in "\n".join(skill.warnings)
    assert bool(warning) == bool(skill.warnings)


def test_only_the_scripts_folder_itself_is_looked_at(tmp_path: Path) -> None:
    block = "#!/usr/bin/node\n# /// script\n# dependencies = ['a']\n# ///\n"
    skill = with_files(tmp_path, {"references/a.py": block, "b.py": block})
    assert (skill.packages, skill.not_python) == ((), ())
