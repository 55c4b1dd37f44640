"""Python environments, made by uv for the sandboxes that need one: from wheels, each sandbox its own."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog
import uv

from controller.model.clock import Clock
from controller.model.errors import ConflictError, EnvironmentFailedError, RuntimeFailure
from controller.model.identity import Key, digest_of
from controller.model.spec import Desired, SandboxSpec
from controller.runtime.background import Background
from controller.runtime.directory.config import DirectoryConfig
from controller.runtime.directory.folders import erase
from controller.runtime.directory.interpreter import Interpreter, find_interpreter
from controller.runtime.directory.launch import VENV_FOLDER
from controller.runtime.directory.record import translated

log = structlog.get_logger(__name__)

_STAGED: Final = ".staged-"
_FORGOTTEN_SECONDS: Final = 3600.0
_PYTHON: Final = re.compile(r"(python|pip)(\d+(\.\d+)?)?")
_LAST_LINES: Final = 12
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
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._building: set[str] = set()
        self._given_up: set[str] = set()
        self._closed = False
        self.builds = Background("environment", _MOST_BUILDS, clock)
        self.builds.on_unwanted = self._give_up

    def close(self) -> None:
        """End what is being installed; nothing is installed from now on."""
        self.builds.close()
        with self._lock:
            self._closed = True
            for process in self._running.values():
                process.kill()
        self.builds.join(_JOIN_SECONDS)

    def prepare(self, desired: Desired) -> None:
        """Have the environment that a create will take, where one is needed. Raises PreparingError while it is made,
        EnvironmentFailedError.
        """
        requirements = requirements_of(desired.spec)
        if requirements is None:
            return
        staged = self._staged(desired)
        python = _python_of(desired.spec)
        self.builds.demand(desired.key, staged.name, lambda: self._make(desired.key, staged, requirements, python))

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

    def _make(self, key: Key, staged: Path, requirements: Sequence[str], python: str) -> None:
        interpreter = find_interpreter(self._config.python, self._stranger(), python)
        with self._lock:
            building = frozenset(self._building)
            self._building.add(staged.name)
        try:
            for former in staged.parent.glob(f"{_staged_prefix(key)}*"):
                if former.name not in building:  # those were given up, and discard themselves
                    self.discard(former)
            staged.mkdir(parents=True)
            self._build(staged, interpreter, requirements)
        except OSError as exc:
            raise translated(exc, f"cannot make an environment in {staged}") from exc
        except BaseException:
            self.discard(staged)
            raise
        finally:
            with self._lock:
                self._building.discard(staged.name)
                self._given_up.discard(staged.name)

    def _give_up(self, name: str) -> None:
        """Nobody wants it any more: end its installation."""
        with self._lock:
            self._given_up.add(name)
            if name in self._running:
                self._running[name].kill()

    def _build(self, staged: Path, interpreter: Interpreter, requirements: Sequence[str]) -> None:
        """In one installation: uv runs the environment's Python before it, and never once foreign files are in it."""
        venv = staged / VENV_FOLDER
        self._run(staged, "venv", "--relocatable", "--python", interpreter.path, str(venv))
        if requirements:
            python = str(venv / "bin" / "python")
            self._run(staged, "pip", "install", "--only-binary", ":all:", "--python", python, "--", *requirements)

    def _run(self, folder: Path, *arguments: str) -> None:
        settings = {
            "UV_CACHE_DIR": str(self._config.package_cache),
            "UV_LINK_MODE": "copy",  # one sandbox's files are never another's
            "UV_PYTHON_DOWNLOADS": "never",
        }
        try:
            code, stderr = self._run_to_end([_uv(), "--quiet", *arguments], folder, {**os.environ, **settings})
        except subprocess.TimeoutExpired as exc:
            seconds = f"{self._config.install_timeout:g} s"
            raise EnvironmentFailedError(
                f"uv {arguments[0]} did not end within {seconds}: can the package index be reached?"
            ) from exc
        except OSError as exc:
            raise EnvironmentFailedError(f"uv cannot be run: {exc.strerror}; reinstall sandkeeper") from exc
        if code != 0:
            said = "\n".join(stderr.strip().splitlines()[-_LAST_LINES:])
            raise EnvironmentFailedError(
                f"{said}\nuv {arguments[0]} failed: correct spec.packages (only wheels are installed), or see that the "
                "package index can be reached (UV_INDEX_URL, UV_FIND_LINKS)"
            )

    def _run_to_end(self, words: Sequence[str], folder: Path, env: Mapping[str, str]) -> tuple[int, str]:
        """Exit status and stderr. Raises TimeoutExpired, OSError; ConflictError where the daemon is ending."""
        with self._lock:
            self._refuse_in_vain(folder.name)
            process = subprocess.Popen(
                words,
                cwd=folder,  # no settings of a project that the daemon happens to run in
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                umask=0o022,  # readable for the sandbox's user, whatever the daemon's own
            )
            self._running[folder.name] = process
        with process:
            try:
                _, stderr = process.communicate(timeout=self._config.install_timeout)
            finally:
                process.kill()
                with self._lock:
                    del self._running[folder.name]
        self._refuse_in_vain(folder.name)
        return process.returncode, stderr

    def _refuse_in_vain(self, name: str) -> None:
        if self._closed:
            raise ConflictError("the daemon is ending")
        if name in self._given_up:
            raise ConflictError("nobody wanted it any more: look again")


def _staged_prefix(key: Key) -> str:
    return f"{_STAGED}{digest_of({'key': list(key)})}-"


def _uv() -> str:
    try:
        return uv.find_uv_bin()
    except FileNotFoundError as exc:
        raise EnvironmentFailedError("uv is not there: reinstall sandkeeper") from exc
