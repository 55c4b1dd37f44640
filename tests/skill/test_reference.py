"""Strict validation gives the verdicts of skills-ref, the reference validator of the specification."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest
import skills_ref
from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller.skill import Validation, check_skill
from tests.skill.samples import DATA

FOLDERS: Final = sorted(path for path in DATA.glob("*/*") if path.is_dir())
TEXTS: Final = st.text(st.sampled_from("ab-Z9_ é:ßǅ#'\"|>[]{}&*!~,%@`.\n"), max_size=12).filter(
    lambda text: "---" not in text  # at which the reference ends the front matter, wherever it stands
)
NAMES: Final = st.one_of(
    st.sampled_from(["skill", "a" * 64, "a" * 65, "ü-1", "-a", "a-", "a--b", "A", "123", "no", "1.0", "~", "'a'", ""]),
    TEXTS,
)
FIELDS: Final = st.sampled_from(
    ["description", "license", "compatibility", "metadata", "allowed-tools", "other", "Name"]
)
VALUES: Final = st.one_of(
    st.sampled_from(
        ["said", "x" * 500, "x" * 501, "x" * 1024, "x" * 1025, "", "|\n  a\n  b", ">-\n  a", "\n  a: b", "\n  - a"]
    ),
    st.sampled_from(
        ["{a: b}", "[a]", "&x a", "!!str a", "'a: b'", "a: b", "true", "22:30", "\n  a:\n    b: c", "# gone"]
    ),
    TEXTS,
)
GOOD_AND_ONE: Final = st.tuples(FIELDS, VALUES).map(
    lambda field: [field] if field[0] == "description" else [("description", "said"), field]
)


def reference(folder: Path) -> bool | None:
    """Whether the reference takes the skill; None where it falls over, which it does over some broken YAML."""
    try:
        return not skills_ref.validate(folder)
    except (AttributeError, AssertionError, TypeError):
        return None


def strict(folder: Path) -> bool:
    """Whether strict validation takes it."""
    return all(fault.warning for fault in check_skill(folder, Validation.STRICT))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name[:30])
def test_the_verdict_on_a_skill_is_the_references(folder: Path) -> None:
    assert strict(folder) == reference(folder)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.just("skill"), NAMES), st.one_of(GOOD_AND_ONE, st.lists(st.tuples(FIELDS, VALUES), max_size=5)))
@example("skill", [("description", "x" * 1025)])
@example("skill", [("description", "x"), ("compatibility", "\n  - a")])
@example("skill", [("description", "x"), ("metadata", "\n  a:\n    b: c")])
def test_the_verdict_on_any_front_matter_is_the_references(name: str, fields: list[tuple[str, str]]) -> None:
    lines = [f"name: {name}", *(f"{field}: {value}" for field, value in fields)]
    with TemporaryDirectory() as below:
        folder = Path(below) / (name.strip("' \n") if name.strip("' \n.") and "/" not in name else "skill")
        folder.mkdir()
        (folder / "SKILL.md").write_text("---\n" + "\n".join(lines) + "\n---\nBody.\n")
        assert reference(folder) in (strict(folder), None), lines
