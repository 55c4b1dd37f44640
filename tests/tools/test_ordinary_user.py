"""The same tests as an ordinary user, to whom all that the sandbox owns belongs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import controller
from tests.directory_runtime.house import new_state_dir
from tests.support.ordinary_user import ORDINARY, as_ordinary_user


@pytest.mark.root
@pytest.mark.timeout(300)
def test_an_ordinary_user_has_the_same_tools() -> None:
    home = new_state_dir()
    os.chown(home, ORDINARY, ORDINARY)
    arguments = ["-p", "no:cacheprovider", "-m", "not root and not docker", "--basetemp", f"{home}/pytest"]
    done = subprocess.run(
        [*as_ordinary_user(), sys.executable, "-B", "-m", "pytest", *arguments, str(Path(__file__).parent)],
        cwd=Path(controller.__file__).parent.parent,
        env={"HOME": str(home), "TMPDIR": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
