"""docs/migration.md is true: its snippets run in their order, its commands exist, and its checklist passes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.docs.snippets import NO_ENGINE, environment_of, run, snippets
from tests.docs.tour import ROOT

TEXT: Final = (ROOT / "docs" / "migration.md").read_text()
BLOCKS: Final = snippets("migration.md")
COMMANDS: Final = re.findall(r"^\$ (.*)$", TEXT, re.MULTILINE)
SECTIONS: Final = (
    "When to use which mode",
    "Why move",
    "Prerequisites",
    "Try container mode",
    "Change the code",
    "Limits for testing and for production",
    "Monitoring",
    "Errors, and falling back",
    "A gradual move",
    "Environment variables",
    "Config file",
    "Test checklist",
    "Rollback",
    "Troubleshooting",
    "Best practices",
    "Next steps",
)


def test_it_leads_through_every_step_in_order() -> None:
    headings = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    assert len(headings) == len(SECTIONS)
    assert all(heading.startswith(section) for heading, section in zip(headings, SECTIONS, strict=True))


def test_the_snippets_that_need_no_engine_run(tmp_path: Path) -> None:
    given = "from controller import ContainerConfig, ResourceLimits, SandboxBuilder\n"
    done = run(tmp_path, given + "\n".join(code for container, code in BLOCKS if not container), NO_ENGINE)
    assert done.returncode == 0, done.stderr


@pytest.mark.docker
def test_all_snippets_run_on_an_engine(tmp_path: Path, docker_host: str, python_image: str) -> None:
    done = run(tmp_path, "\n".join(code for _, code in BLOCKS), docker_host)
    assert done.returncode == 0, done.stderr


@pytest.mark.docker
@pytest.mark.parametrize("command", [each for each in COMMANDS if "pytest" not in each])
def test_its_commands_do_what_they_are_there_for(
    command: str, tmp_path: Path, docker_host: str, python_image: str
) -> None:
    words = command.split()
    program = [sys.executable, "-m", "controller.cli"] if words[0] == "sandkeeper" else [words[0]]
    environment = {**environment_of(docker_host), "SANDKEEPER_STATE_DIR": str(tmp_path / "state")}
    done = subprocess.run(
        [*program, *words[1:]], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.docker
def test_the_checklist_passes_in_both_modes(tmp_path: Path, docker_host: str, python_image: str) -> None:
    done = _checklist(tmp_path, docker_host)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


def test_the_checklist_skips_containers_where_there_is_no_engine(tmp_path: Path) -> None:
    done = _checklist(tmp_path, NO_ENGINE)
    assert done.returncode == 0, done.stdout
    assert "skipped" in done.stdout


def _checklist(folder: Path, docker_host: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={folder / 'temp'}"]
    return subprocess.run(
        [*command, str(ROOT / "examples" / "test_both_modes.py")],
        cwd=folder,
        env=environment_of(docker_host),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
