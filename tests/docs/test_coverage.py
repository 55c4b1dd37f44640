"""docs/coverage.md names tests that exist, for every point."""

from __future__ import annotations

import ast
import re
from typing import Final

from tests.docs.tour import ROOT

COVERAGE: Final = (ROOT / "docs" / "coverage.md").read_text()
NAMED: Final = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", COVERAGE)))


def test_every_test_that_is_named_exists() -> None:
    missing = []
    for file, test in NAMED:
        path = ROOT / "tests" / file
        functions = ast.walk(ast.parse(path.read_text())) if path.is_file() else ()
        if test not in {function.name for function in functions if isinstance(function, ast.FunctionDef)}:
            missing.append(f"{file}::{test}")
    assert missing == []


def test_every_numbered_point_has_a_section_with_tests() -> None:
    sections = re.split(r"^## ", COVERAGE, flags=re.MULTILINE)
    numbered = {int(found[1]): section for section in sections if (found := re.match(r"(\d+)\. ", section))}
    assert sorted(numbered) == list(range(1, 12))
    assert all("::test_" in section for section in numbered.values())
    assert len(NAMED) > 100
