"""The packages of all sandboxes of a state folder: locks, and the files that they name, for any target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from controller.runtime.packages.lock import Lock, Locks
from controller.runtime.packages.store import TreeStore, discard_old
from controller.runtime.packages.target import PythonTarget
from controller.runtime.packages.uv import UvRunner
from controller.runtime.packages.wheels import download


class PackageCache:
    """For any thread, and for several processes on one folder. Raises RuntimeFailure's subclasses."""

    def __init__(self, folder: Path, uv: UvRunner) -> None:
        self._uv = uv
        self.work = folder / "work"
        """Where jobs have folders of their own."""
        self._locks = Locks(folder / "locks", uv)
        self._trees = TreeStore(folder / "trees")

    def known(self, requirements: Sequence[str], target: PythonTarget) -> Lock | None:
        """The lock of these requirements, where they were locked before."""
        return self._locks.known(requirements, target)

    def lock(self, requirements: Sequence[str], target: PythonTarget, job: Path, anew: bool = False) -> Lock:
        """Their lock, resolved where there is none or `anew`. `job` is a folder to work in, and whose uv it is.

        Raises EnvironmentFailedError, DiskFullError, ConflictError where the job was given up.
        """
        lock = None if anew else self._locks.known(requirements, target)
        return lock or self._locks.make(requirements, target, job)

    def tree(self, lock: Lock, job: Path) -> Path:
        """The folder with `lib`, `scripts` and `data`: checked, or downloaded where it is not there or was changed.

        Raises as `lock`.
        """
        return self._trees.have(lock.digest, lambda content: download(lock, content, self._uv, job))

    def discard_unused(self, seconds: float) -> int:
        """Delete what nobody has asked for in so many seconds; how many trees."""
        return self._trees.discard_unused(seconds)

    def discard_forgotten(self) -> None:
        """Delete what a killed process has left half made."""
        self._trees.discard_forgotten()
        discard_old(self.work)
