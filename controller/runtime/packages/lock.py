"""Requirements resolved to exact versions with the hashes of their files, once for each target."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from controller.model.errors import EnvironmentFailedError
from controller.model.identity import digest_of
from controller.runtime.packages.errors import translated
from controller.runtime.packages.target import PythonTarget
from controller.runtime.packages.uv import UvRunner

_VERSION: Final = 1  # to be raised where locks or trees of another version cannot be taken over
_HEADER: Final = "# locked by sandkeeper\n"
_HINT: Final = (
    "correct spec.packages (only wheels are installed), or see that the package index can be reached (UV_INDEX_URL, "
    "UV_FIND_LINKS)"
)


@dataclass(frozen=True, slots=True)
class Lock:
    """What is installed for a target: `text` is a requirements file in which every package has its version and the
    hashes of its files.
    """

    target: PythonTarget
    text: str

    @property
    def digest(self) -> str:
        """32 hex digits: the same for the same packages on the same target."""
        told = f"{_VERSION}\0{self.target.version}\0{self.target.platform}\0{self.text}"
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    @property
    def packages(self) -> tuple[str, ...]:
        """`name==version` of each, in the order of their names."""
        lines = (line.partition(" ")[0] for line in self.text.splitlines() if line and line[0] not in " #")
        return tuple(line for line in lines if line)


class Locks:
    """The locks that were made, each kept until it is made anew. For any thread."""

    def __init__(self, folder: Path, uv: UvRunner) -> None:
        self._folder = folder
        self._uv = uv

    def known(self, requirements: Sequence[str], target: PythonTarget) -> Lock | None:
        """The lock that was made before. Raises RuntimeFailure."""
        path = self._path(requirements, target)
        try:
            text = path.read_text("utf-8")
            os.utime(path)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise translated(exc, f"cannot read {path}") from exc
        return Lock(target, text) if text.startswith(_HEADER) else None  # a crash of the machine may have emptied it

    def make(self, requirements: Sequence[str], target: PythonTarget, job: Path) -> Lock:
        """Resolve them anew, in a folder of the caller's.

        Raises EnvironmentFailedError, DiskFullError; ConflictError where the job was given up.
        """
        _refuse_variables(requirements)
        wanted, locked = job / "requirements.in", job / "requirements.txt"
        try:
            locked.unlink(missing_ok=True)  # uv would keep to its versions
            wanted.write_text("".join(f"{line}\n" for line in requirements), "utf-8")
            self._resolve(job, target, wanted, locked)
            lock = Lock(target, _HEADER + locked.read_text("utf-8"))
            self._keep(self._path(requirements, target), lock.text)
        except OSError as exc:
            raise translated(exc, f"cannot lock packages in {job}") from exc
        return lock

    def _resolve(self, job: Path, target: PythonTarget, wanted: Path, locked: Path) -> None:
        options = ("--generate-hashes", "--no-header", "--no-annotate", "--output-file", str(locked), str(wanted))
        try:
            self._uv.run(job, "pip", "compile", *for_target(target), *options)
        except EnvironmentFailedError as exc:
            raise EnvironmentFailedError(f"{exc}: {_HINT}") from exc

    def _keep(self, path: Path, text: str) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_suffix(f".{uuid4()}")
        beside.write_text(text, "utf-8")
        beside.rename(path)

    def _path(self, requirements: Sequence[str], target: PythonTarget) -> Path:
        """Another index may have other files of the same versions."""
        settings = {name: value for name, value in os.environ.items() if name.startswith("UV_")}
        key = {
            "version": _VERSION,
            "requirements": sorted(set(requirements)),
            "target": [target.version, target.platform],
            "settings": settings,
        }
        return self._folder / f"{digest_of(key)}.txt"


def _refuse_variables(requirements: Sequence[str]) -> None:
    """uv fills variables of the daemon's environment in, and would send them to whoever a requirement names."""
    for requirement in requirements:
        if "${" in requirement:
            raise EnvironmentFailedError(f"{requirement}: variables are not filled in; write it out in spec.packages")


def for_target(target: PythonTarget) -> tuple[str, ...]:
    """uv's options for installing wheels for a target, from whatever Python runs here."""
    return (
        *("--only-binary", ":all:"),  # building one would run it as us
        *("--python", sys.executable),
        *("--python-version", target.version),
        *(("--python-platform", target.platform) if target.platform else ()),
    )
