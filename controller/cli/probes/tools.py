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


def probe_python(_setup: Setup) -> Iterator[Finding]:
    """The interpreter that runs this."""
    told = f"Python {platform.python_version()} ({sys.executable})"
    if sys.version_info < _OLDEST_PYTHON:
        yield fail("python", told, "install Python 3.11 or newer")
    else:
        yield ok("python", told)


def probe_bubblewrap(_setup: Setup) -> Iterator[Finding]:
    """Whether it is there, and whether the kernel lets it make namespaces."""
    bwrap = shutil.which("bwrap")
    less = "directory sandboxes run without namespaces of their own: they see the machine's files and processes"
    if bwrap is None:
        yield warn("bubblewrap", f"not installed; {less}", "apt-get install bubblewrap")
        return
    failure = _failure([bwrap, "--ro-bind", "/", "/", "--unshare-pid", "true"])
    if failure:
        advice = "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1), or run as root"
        yield warn("bubblewrap", f"{failure}; {less}", advice)
    else:
        yield ok("bubblewrap", f"makes namespaces ({bwrap})")


def probe_uv(_setup: Setup) -> Iterator[Finding]:
    """What installs packages into directory sandboxes."""
    try:
        uv = find_uv_bin()
    except FileNotFoundError:
        yield warn("uv", "not installed; spec.packages cannot be had in directory sandboxes", "pip install uv")
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
