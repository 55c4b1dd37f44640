"""docs/api.md is true: its snippets run, in their order and in one program, and the example does what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.docs.snippets import NO_ENGINE, run, snippets

BLOCKS: Final = snippets("api.md")


def test_there_are_snippets_of_both_kinds() -> None:
    assert len([code for container, code in BLOCKS if not container]) >= 8
    assert len([code for container, code in BLOCKS if container]) >= 2


def test_the_snippets_that_need_no_engine_run(tmp_path: Path) -> None:
    script = "\n".join(code for container, code in BLOCKS if not container)
    done = run(tmp_path, script, NO_ENGINE)
    assert done.returncode == 0, done.stderr


@pytest.mark.docker
def test_the_snippets_that_need_an_engine_run(tmp_path: Path, docker_host: str, python_image: str) -> None:
    # Those that take the engine away put it back as it was for a program: found by itself.
    script = "\n".join(code for _, code in BLOCKS).replace('del os.environ["DOCKER_HOST"]', _put_back(docker_host))
    done = run(tmp_path, script, docker_host)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("mode", [pytest.param("container", marks=pytest.mark.docker), "directory"])
def test_the_example_does_what_it_says(mode: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    host = NO_ENGINE
    if mode == "container":
        host = request.getfixturevalue("docker_host")
        request.getfixturevalue("python_image")
    done = run(tmp_path, f"import runpy, sys; sys.argv = ['x', {mode!r}]; {_RUN}", host)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"Simple Test Skill runs in {mode} mode, with read_file, write_file, list_files",
        "notes: first.txt",
        "first.txt: Bring milk.",
    ]


_RUN: Final = "runpy.run_path('examples/simple_skill.py', run_name='__main__')"


def _put_back(docker_host: str) -> str:
    return f'os.environ["DOCKER_HOST"] = {docker_host!r}'
