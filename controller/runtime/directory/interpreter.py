"""Which Python a sandbox's environment is made of: it has to be one that the sandbox's user can reach."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from controller.model.errors import EnvironmentFailedError
from controller.model.python_versions import satisfies
from controller.runtime.directory.reach import can_execute, may_mount
from controller.runtime.packages.target import PROBE, PythonTarget, facts_of

_COMMON: Final = ("/usr/bin/python3", "/usr/local/bin/python3")
_TELL: Final = "import platform; print(platform.python_version())"
_SYSTEM_PREFIXES: Final = frozenset({"/", "/usr", "/usr/local"})
_PROBE_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Interpreter:
    """`prefix` is the folder that has to be shown to a sandbox whose user cannot reach it; empty where it can."""

    path: str
    prefix: str = ""


def find_interpreter(configured: str | None, uid: int | None, wanted: str = "") -> Interpreter:
    """The interpreter for a user; None is our own. Prefers the controller's own Python. `wanted` is the version that
    it has to be, as a skill asks for it.

    Raises EnvironmentFailedError where there is none that this user can reach or be shown.
    """
    candidates = [configured] if configured else list(_candidates())
    if wanted:
        candidates = _of_version(wanted, candidates)
    if uid is None:
        return Interpreter(candidates[0])
    for path in candidates:
        if can_execute(path, uid):
            return Interpreter(path)
    if may_mount():
        for path in candidates:
            prefix = str(Path(os.path.realpath(path)).parent.parent)
            if Path(path).exists() and prefix not in _SYSTEM_PREFIXES:
                return Interpreter(path, prefix)
    raise EnvironmentFailedError(
        f"no Python that user {uid} can execute among {', '.join(candidates)}: install python3 for everybody (apt-get "
        "install python3), or open the folders above one to others (chmod o+x)"
    )


def _of_version(wanted: str, candidates: Sequence[str]) -> list[str]:
    """Those that will do. Raises EnvironmentFailedError where none does."""
    versions = {path: version for path in candidates if (version := _version(path))}
    fitting = [path for path, version in versions.items() if satisfies(version, wanted)]
    if not fitting:
        told = ", ".join(f"{path} is {version}" for path, version in versions.items()) or "there is none"
        raise EnvironmentFailedError(f"the skill needs Python {wanted}, and {told}: install such a one for everybody")
    return fitting


@cache
def _version(path: str) -> str:
    """Its version; empty where it tells none. A Python that is upgraded in place is seen by the next daemon."""
    if path == os.path.realpath(getattr(sys, "_base_executable", sys.executable)):
        return ".".join(map(str, sys.version_info[:3]))
    try:
        done = subprocess.run([path, "-I", "-c", _TELL], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


class Targets:
    """What packages have to fit for each interpreter, asked of it once. For any thread."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int], PythonTarget] = {}

    def of(self, interpreter: Interpreter) -> PythonTarget:
        """The target of an interpreter. Raises EnvironmentFailedError."""
        try:
            status = os.stat(interpreter.path)  # noqa: PTH116 - text throughout
            identity = (interpreter.path, status.st_ino, status.st_mtime_ns)
            known = self._known.get(identity)
            if known is None:
                known = self._known[identity] = _asked(interpreter.path)
        except (OSError, subprocess.SubprocessError) as exc:
            raise EnvironmentFailedError(f"{interpreter.path} cannot be run: {exc}; install python3 anew") from exc
        return known


def _asked(path: str) -> PythonTarget:
    command = [path, "-I", "-c", PROBE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=True, cwd="/")
    return facts_of(done.stdout, path, is_here=True).target


def _candidates() -> Iterator[str]:
    base: str = getattr(sys, "_base_executable", sys.executable)
    yield from dict.fromkeys((os.path.realpath(base), *_COMMON))
