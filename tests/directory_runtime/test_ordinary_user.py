"""The same tests as an ordinary user, who has neither users to give away nor, usually, control groups."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

import controller
from controller.runtime.directory.reach import closed_ancestors
from controller.runtime.directory.supervisor.spawn import Launch
from tests.directory_runtime.house import new_state_dir, run_launched

ORDINARY = 64123
REPOSITORY = Path(controller.__file__).parent.parent


@pytest.mark.root
@pytest.mark.timeout(300)
def test_an_ordinary_user_has_all_that_needs_no_root() -> None:
    home = new_state_dir()
    os.chown(home, ORDINARY, ORDINARY)
    needed = [os.path.realpath(path) for path in (sys.base_prefix, sys.prefix, REPOSITORY)]
    hidden = closed_ancestors(needed, ORDINARY)
    binds = [(path, True) for path in needed if path.startswith(tuple(f"{closed}/" for closed in hidden))]
    arguments = ["-p", "no:cacheprovider", "-m", "not root", "--basetemp", f"{home}/pytest", "-rs"]
    launch = Launch(
        argv=[sys.executable, "-B", "-m", "pytest", *arguments, str(Path(__file__).parent)],
        env={"HOME": str(home), "TMPDIR": str(home), "PATH": os.defpath, "LANG": "C.UTF-8"},
        cwd=str(REPOSITORY),
        home=str(REPOSITORY),
        uid=ORDINARY,
        view={"hidden": list(hidden), "binds": binds, "covers": [], "shm_bytes": None},
    )
    code, text = run_launched(launch)
    shutil.rmtree(home)
    assert code == 0, text
    assert " passed" in text
