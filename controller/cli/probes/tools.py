"""The programs that sandboxes are made with: Python, bubblewrap, uv."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from uv import find_uv_bin

from controller.cli.probes.finding import Finding, Setup, fail, ok, warn

_OLDEST_PYTHON: Final = (3, 11)
_PATIENCE: Final = 10.0
_DOES_WITHOUT: Final = "this version's directory sandboxes do without"


def probe_python(_setup: Setup) -> Iterator[Finding]:
    """The interpreter that runs this."""
    told = f"Python {platform.python_version()} ({sys.executable})"
    if sys.version_info < _OLDEST_PYTHON:
        yield fail("python", told, "install Python 3.11 or newer")
    else:
        yield ok("python", told)


def probe_bubblewrap(_setup: Setup) -> Iterator[Finding]:
    """Whether it is there, and whether the kernel lets it make namespaces. Nothing in this version depends on it."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        yield ok("bubblewrap", f"not installed; {_DOES_WITHOUT}")
    elif failure := _failure([bwrap, "--ro-bind", "/", "/", "--unshare-pid", "true"]):
        yield ok("bubblewrap", f"{failure}; {_DOES_WITHOUT}")
    else:
        yield ok("bubblewrap", f"makes namespaces ({bwrap}); {_DOES_WITHOUT}")


def probe_uv(_setup: Setup) -> Iterator[Finding]:
    """What locks and downloads packages."""
    try:
        uv = find_uv_bin()
    except FileNotFoundError:
        yield warn("uv", "not installed; spec.packages cannot be had", "pip install uv")
        return
    failure = _failure([uv, "--version"])
    if failure:
        yield warn("uv", failure, "pip install --force-reinstall uv")
    else:
        yield ok("uv", f"runs ({uv})")


def _failure(command: Sequence[str]) -> str:
    """Why a command does not work; empty where it does."""
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False, text=True
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return str(exc)
    return (ended.stderr.strip() or f"exit {ended.returncode}") if ended.returncode else ""
