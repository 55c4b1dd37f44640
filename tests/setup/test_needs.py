"""Docker tests where there is no engine for them: skipped loudly, failed where skipping is forbidden."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.engine import Engine

REPOSITORY = Path(__file__).parents[2]
ONE_DOCKER_TEST = "tests/setup/test_engine.py::test_the_busybox_image_runs_its_applets"
WITHOUT_ROOT = "import os, sys, pytest; os.geteuid = lambda: 1000; sys.exit(pytest.main(sys.argv[1:]))"


def run_without_root(**environment: str) -> subprocess.CompletedProcess[str]:
    """A test run of its own by somebody who is not root (as far as it can tell), in that environment."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("DOCKER_HOST", "REQUIRE_ENGINE")}
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_ROOT, "-p", "no:cacheprovider", "-rs", ONE_DOCKER_TEST],
        cwd=REPOSITORY,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_root_and_engine_docker_tests_are_skipped_and_the_summary_says_why() -> None:
    done = run_without_root()
    assert done.returncode == 0
    assert "1 SKIPPED: a private Docker engine needs root (or set DOCKER_HOST" in done.stdout


def test_where_an_engine_is_required_docker_tests_fail_instead() -> None:
    done = run_without_root(REQUIRE_ENGINE="1")
    assert done.returncode == 1
    assert "REQUIRE_ENGINE=1, but a private Docker engine needs root" in done.stdout


@pytest.mark.docker
def test_a_given_engine_is_used_even_without_root(engine: Engine) -> None:
    done = run_without_root(DOCKER_HOST=engine.docker_host)
    assert done.stdout.splitlines()[-1].startswith("1 passed")
