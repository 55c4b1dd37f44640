"""Completion in a real shell."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Run
from tests.cli.plane import Plane
from tests.cli.sandboxes import sandbox

COMPLETE = """
source <(sandkeeper completion bash)
COMP_WORDS=(sandkeeper {words}) COMP_CWORD={index}
_sandkeeper_completion sandkeeper
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which `sandkeeper` is."""
    script = tmp_path / "bin" / "sandkeeper"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m controller.cli "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return f"{script.parent}:{os.environ['PATH']}"


def completed(path: str, *words: str) -> list[str]:
    """What bash offers for the last word."""
    quoted = " ".join(f"'{word}'" for word in words)
    ended = subprocess.run(
        ["bash", "-c", COMPLETE.format(words=quoted, index=len(words))],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.split()


def test_bash_completes_verbs_options_and_names(state_dir: Path, plane: Plane, path: str) -> None:
    """Names are those that the daemon knows now; those of other namespaces in full."""
    plane.views = [sandbox("web"), sandbox("worker"), sandbox("api", "team-a")]
    assert set(completed(path, "re")) == {"restart", "reconcile", "restore", "resume"}
    assert completed(path, "get", "--al") == ["--all-namespaces"]
    assert completed(path, "describe", "w") == ["web", "worker"]
    assert completed(path, "describe", "team") == ["team-a/api"]


def test_completion_without_a_daemon_offers_no_names(path: str) -> None:
    """And says nothing on stderr."""
    assert completed(path, "describe", "--state-dir", "/nonexistent", "w") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(run: Run, shell: str) -> None:
    """It is syntactically right where that shell is here to say so."""
    script = run("completion", shell).stdout
    assert "_SANDKEEPER_COMPLETE" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_another_shell_is_refused(run: Run) -> None:
    """With those that are known."""
    assert run("completion", "tcsh").exit_code == 64
