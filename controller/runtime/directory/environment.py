"""Python environments, made by uv for the sandboxes that need one: from wheels, each sandbox its own."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from uuid import uuid4

import structlog

from controller.model.clock import Clock
from controller.model.errors import ConflictError, EnvironmentFailedError, RuntimeFailure
from controller.model.identity import Key, digest_of
from controller.model.spec import Desired, SandboxSpec
from controller.runtime.background import Background
from controller.runtime.directory.config import DirectoryConfig
from controller.runtime.directory.folders import erase
from controller.runtime.directory.interpreter import Interpreter, Targets, find_interpreter
from controller.runtime.directory.launch import VENV_FOLDER
from controller.runtime.directory.record import translated
from controller.runtime.packages.cache import PackageCache
from controller.runtime.packages.install import install
from controller.runtime.packages.lock import Lock
from controller.runtime.packages.uv import UvRunner

log = structlog.get_logger(__name__)

_STAGED: Final = ".staged-"
_FORGOTTEN_SECONDS: Final = 3600.0
_PYTHON: Final = re.compile(r"(python|pip)(\d+(\.\d+)?)?")
_MOST_BUILDS: Final = 8
_JOIN_SECONDS: Final = 2.0


def requirements_of(spec: SandboxSpec) -> tuple[str, ...] | None:
    """The packages of the environment that a sandbox needs; None where nothing needs one."""
    first = (spec.command or spec.args or ("",))[0]
    command = _PYTHON.fullmatch(first)
    if not spec.packages and command is None and not _python_of(spec):
        return None
    pip = ("pip",) if command is not None and command[1] == "pip" else ()
    return (*spec.packages, *pip)


def _python_of(spec: SandboxSpec) -> str:
    return spec.skill.python_version if spec.skill is not None else ""


class Environments:
    """Made aside while the present instance still runs, then taken into a new instance's folder in one step."""

    def __init__(self, config: DirectoryConfig, clock: Clock) -> None:
        self._config = config
        self._uv = UvRunner(config.uv_cache, config.install_timeout)
        self._packages = PackageCache(config.package_cache, self._uv)
        self._targets = Targets()
        self._lock = threading.Lock()
        self._building: set[str] = set()
        self.builds = Background("environment", _MOST_BUILDS, clock)
        self.builds.on_unwanted = self._uv.give_up

    def close(self) -> None:
        """End what is being installed; nothing is installed from now on."""
        self.builds.close()
        self._uv.close()
        self.builds.join(_JOIN_SECONDS)

    def prepare(self, desired: Desired) -> None:
        """Have the environment that a create will take, where one is needed. Raises PreparingError while it is made,
        EnvironmentFailedError.
        """
        requirements = requirements_of(desired.spec)
        if requirements is None:
            return
        staged = self._staged(desired)
        told = f"packages are installed: {', '.join(requirements)}" if requirements else "its Python is set up"
        self.builds.demand(desired.key, staged.name, lambda: self._make(desired, staged, requirements), told)

    def fetch(self, requirements: Sequence[str], anew: bool = False) -> Lock:
        """Have the packages at hand that environments will be made of, in the caller's own thread; what they are.

        `anew`: the newest that are allowed. Raises RuntimeFailure.
        """
        job = self._packages.work / f"fetch-{uuid4()}"
        try:
            job.mkdir(mode=0o700, parents=True)
            try:
                target = self._targets.of(find_interpreter(self._config.python, self._stranger()))
                lock = self._packages.lock(requirements, target, job, anew)
                self._packages.tree(lock, job)
            finally:
                erase(job)
        except OSError as exc:
            raise translated(exc, f"cannot have packages in {job}") from exc
        return lock

    def take(self, desired: Desired, folder: Path) -> Interpreter | None:
        """Move the environment into an instance's folder. Raises ConflictError where it was not prepared."""
        if requirements_of(desired.spec) is None:
            return None
        staged = self._staged(desired)
        if not (staged / VENV_FOLDER / "pyvenv.cfg").exists():
            raise ConflictError(f"the environment of {desired.key} is not there: it is made again")
        interpreter = find_interpreter(self._config.python, self._stranger(), _python_of(desired.spec))
        try:
            (staged / VENV_FOLDER).rename(folder / VENV_FOLDER)
            staged.rmdir()
        except OSError as exc:
            raise translated(exc, f"cannot take the environment to {folder}") from exc
        return interpreter

    def discard(self, staged: Path) -> None:
        """Delete what was made aside. Idempotent; raises RuntimeFailure."""
        erase(staged)

    def discard_forgotten(self) -> None:
        """Delete what was made aside and then never taken."""
        self._packages.discard_forgotten()
        for staged in self._config.directories.glob(f"{_STAGED}*"):
            try:
                if time.time() - staged.stat().st_mtime > _FORGOTTEN_SECONDS:
                    self.discard(staged)
            except FileNotFoundError:
                continue  # it was taken
            except (OSError, RuntimeFailure) as exc:
                log.warning("environment_not_discarded", path=str(staged), error=str(exc))

    def _staged(self, desired: Desired) -> Path:
        digest = desired.spec_hash.rpartition(":")[2]
        return self._config.directories / f"{_staged_prefix(desired.key)}{digest}"

    def _stranger(self) -> int | None:
        """Any user of a sandbox's: none of them has a file of the machine's own."""
        return self._config.first_uid if os.geteuid() == 0 else None

    def _make(self, desired: Desired, staged: Path, requirements: Sequence[str]) -> None:
        interpreter = find_interpreter(self._config.python, self._stranger(), _python_of(desired.spec))
        with self._lock:
            building = frozenset(self._building)
            self._building.add(staged.name)
        try:
            for former in staged.parent.glob(f"{_staged_prefix(desired.key)}*"):
                if former.name not in building:  # those were given up, and discard themselves
                    self.discard(former)
            staged.mkdir(parents=True)
            self._build(staged, interpreter, requirements)
        except OSError as exc:
            self.discard(staged)
            raise translated(exc, f"cannot make an environment in {staged}") from exc
        except BaseException:
            self.discard(staged)
            raise
        finally:
            with self._lock:
                self._building.discard(staged.name)
            self._uv.done(staged.name)

    def _build(self, staged: Path, interpreter: Interpreter, requirements: Sequence[str]) -> None:
        """uv runs the environment's Python before there are foreign files in it, and never once there are."""
        venv = staged / VENV_FOLDER
        try:
            self._uv.run(staged, "venv", "--relocatable", "--python", interpreter.path, str(venv))
        except EnvironmentFailedError as exc:
            raise EnvironmentFailedError(f"{exc}: see that {interpreter.path} works") from exc
        if not requirements:
            return
        lock = self._packages.lock(requirements, self._targets.of(interpreter), staged)
        tree = self._packages.tree(lock, staged)
        install(tree, venv, may_link=self._stranger() is not None)
        for left in staged.glob("*.txt"):
            left.unlink()
        (staged / "requirements.in").unlink(missing_ok=True)


def _staged_prefix(key: Key) -> str:
    return f"{_STAGED}{digest_of({'key': list(key)})}-"
