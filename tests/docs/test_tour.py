"""The README's two commands and its tour, typed as they stand there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.docs.tour import ROOT, FreshCopy, console_steps, shape

README: Final = (ROOT / "README.md").read_text()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[FreshCopy]:
    """A copy in which `make run` is going."""
    with FreshCopy(tmp_path) as copy:
        yield copy


@pytest.mark.root
def test_the_tour_shows_what_the_readme_says(fresh: FreshCopy) -> None:
    (exported,) = re.findall(r"^    (export .*)$", README, re.MULTILINE)
    fresh.export(exported)
    fresh.until(lambda: "True" in fresh.shell("sandkeeper get hello-directory 2>&1"), "the sample is Ready")
    for step in console_steps(README):
        assert fresh.follow(step) == shape(step.output), step.command
    assert "Traceback" not in fresh.log


def test_make_run_is_ended_by_ctrl_c_and_goes_on_where_it_was(fresh: FreshCopy) -> None:
    """The sandbox runs through it: the same process, no restart."""
    sandkeeper = ".venv/bin/sandkeeper"
    show = f"{sandkeeper} get hello-directory --state-dir .run/state -o json"
    fresh.until(lambda: '"phase": "Running"' in fresh.shell(show), "the sample runs")
    pid = re.findall(r'"pid": (\d+)', fresh.shell(show))
    fresh.stop()
    assert "stopping" in fresh.log
    fresh.start()
    fresh.until(lambda: re.findall(r'"pid": (\d+)', fresh.shell(show)) == pid, "the same process is shown")
    assert '"restarts": 0' in fresh.shell(show)
