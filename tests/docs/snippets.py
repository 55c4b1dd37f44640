"""Snippets of a document, run as a program of a user who has the repository installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.docs.tour import ROOT
from tests.e2e.daemon import end_supervisor

_BLOCK: Final = re.compile(r"^```python( container)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
NO_ENGINE: Final = "unix:///nonexistent/docker.sock"


def snippets(name: str) -> list[tuple[str, str]]:
    """Each Python block of a document below docs, with a mark where it needs containers."""
    return _BLOCK.findall((ROOT / "docs" / name).read_text())


def environment_of(docker_host: str) -> dict[str, str]:
    """The tests' own, with this engine and no settings of the Python API's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CONTAINER_", "USE_CONTAINER"))}
    return {**kept, "PYTHONPATH": str(ROOT), "DOCKER_HOST": docker_host}


def run(folder: Path, script: str, docker_host: str) -> subprocess.CompletedProcess[str]:
    """Run a program beside the examples."""
    shutil.copytree(ROOT / "examples", folder / "examples", dirs_exist_ok=True)
    try:
        return subprocess.run(
            [sys.executable, "-c", script],
            cwd=folder,
            env=environment_of(docker_host),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
    finally:
        end_supervisor(folder / "sandboxes")
