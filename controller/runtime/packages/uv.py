"""Runs uv, which can be ended at any time: by job, or all of it."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import uv

from controller.model.errors import ConflictError, DiskFullError, EnvironmentFailedError

_LAST_LINES: Final = 12
_DISK_FULL: Final = re.compile(
    r"no\s+space\s+left\s+on\s+device|disk\s+quota\s+exceeded", re.IGNORECASE
)  # uv wraps lines


class UvRunner:
    """For any thread. A job is a folder that uv works in; its name says whose uv is to be ended."""

    def __init__(self, cache: Path, timeout: float) -> None:
        """`cache` is uv's own; `timeout` seconds bound each call."""
        self._cache = cache
        self._timeout = timeout
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._given_up: set[str] = set()
        self._closed = False

    def run(self, job: Path, *arguments: str) -> None:
        """Run it to its end. Raises EnvironmentFailedError in uv's own words, DiskFullError; ConflictError where the
        job was given up.
        """
        settings = {
            "UV_CACHE_DIR": str(self._cache),
            "UV_LINK_MODE": "hardlink",  # between uv's cache and the store: both are ours
            "UV_PYTHON_DOWNLOADS": "never",
        }
        verb = " ".join(word for word in arguments[:2] if not word.startswith("-"))
        try:
            code, stderr = self._run_to_end([_uv(), "--quiet", *arguments], job, {**os.environ, **settings})
        except subprocess.TimeoutExpired as exc:
            seconds = f"{self._timeout:g} s"
            raise EnvironmentFailedError(
                f"uv {verb} did not end within {seconds}: can the package index be reached?"
            ) from exc
        except OSError as exc:
            raise EnvironmentFailedError(f"uv cannot be run: {exc.strerror}; reinstall sandkeeper") from exc
        if code == 0:
            return
        said = "\n".join(stderr.strip().splitlines()[-_LAST_LINES:])
        if _DISK_FULL.search(said):
            raise DiskFullError(f"{said}\nuv {verb} failed: free space on the file system of {self._cache}")
        raise EnvironmentFailedError(f"{said}\nuv {verb} failed")

    def give_up(self, name: str) -> None:
        """Nobody wants this job any more: end its uv, now and until it is `done`."""
        with self._lock:
            self._given_up.add(name)
            if name in self._running:
                self._running[name].kill()

    def done(self, name: str) -> None:
        """The job has ended: another one of its name may begin."""
        with self._lock:
            self._given_up.discard(name)

    def close(self) -> None:
        """End all of them; none begins from now on."""
        with self._lock:
            self._closed = True
            for process in self._running.values():
                process.kill()

    def _run_to_end(self, words: Sequence[str], job: Path, env: Mapping[str, str]) -> tuple[int, str]:
        """Exit status and stderr. Raises TimeoutExpired, OSError, ConflictError."""
        with self._lock:
            self._refuse_in_vain(job.name)
            process = subprocess.Popen(
                words,
                cwd=job,  # no settings of a project that the daemon happens to run in
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                umask=0o022,  # readable for a sandbox's user, whatever the daemon's own
            )
            self._running[job.name] = process
        with process:
            try:
                _, stderr = process.communicate(timeout=self._timeout)
            finally:
                process.kill()
                with self._lock:
                    del self._running[job.name]
        self._refuse_in_vain(job.name)
        return process.returncode, stderr

    def _refuse_in_vain(self, name: str) -> None:
        if self._closed:
            raise ConflictError("the daemon is ending")
        if name in self._given_up:
            raise ConflictError("nobody wanted it any more: look again")


def _uv() -> str:
    try:
        return uv.find_uv_bin()
    except FileNotFoundError as exc:
        raise EnvironmentFailedError("uv is not there: reinstall sandkeeper") from exc
