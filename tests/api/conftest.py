"""Builders in both modes on a folder of their own, with whatever they made removed afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller import ContainerConfig, ResourceLimits, SandboxBuilder
from controller.tools.registry import ToolRegistry
from tests.e2e.daemon import end_supervisor
from tests.support import images

MakeBuilder = Callable[..., SandboxBuilder]
MODES = [pytest.param("container", marks=pytest.mark.docker), "directory"]
SKILL = """# Simple Test Skill

## Description
Reads and writes.

## Tools
- read_file: Read files
- write_file: Write files
- list_files: List files
- execute_code: Run code
- run_command: Run commands
- codebase_search: Search files
- web_search: Search the web
"""


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder for sandboxes."""
    folder = Path(tempfile.mkdtemp(prefix="sk-api-"))
    folder.chmod(0o755)
    yield folder
    end_supervisor(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """Each isolation mode in turn."""
    return str(request.param)


@pytest.fixture
def skill(tmp_path: Path) -> Path:
    """A skill file that names the built-in tools and one that nobody has."""
    path = tmp_path / "simple_skill.md"
    path.write_text(SKILL)
    return path


@pytest.fixture
def make_builder(request: pytest.FixtureRequest, base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeBuilder]:
    """`make_builder(mode, config, …)`: on the folder, and for containers on the session's engine."""
    made: list[SandboxBuilder] = []

    def make(
        mode: str, config: ContainerConfig | None = None, tools: ToolRegistry | None = None, folder: Path = base
    ) -> SandboxBuilder:
        if mode == "container":
            monkeypatch.setenv("DOCKER_HOST", request.getfixturevalue("docker_host"))
            request.getfixturevalue("python_image")
        builder = SandboxBuilder(folder, mode, config or small(), tools=tools)
        made.append(builder)
        return builder

    yield make
    for builder in made[:1]:
        builder.cleanup_all()
    for builder in made:
        builder.close()


@pytest.fixture
def builder(make_builder: MakeBuilder, mode: str) -> SandboxBuilder:
    """One in each mode."""
    return make_builder(mode)


def small(memory: str = "128m", pids_limit: int = 64, image: str = images.PYTHON) -> ContainerConfig:
    """Little of everything."""
    return ContainerConfig(image, ResourceLimits(memory=memory, cpus=1.0, pids_limit=pids_limit))
