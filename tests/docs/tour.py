"""The tour of the README: its commands with the output it shows, run in a copy of the repository."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).resolve().parents[2]
_NEEDED: Final = ("Makefile", "pyproject.toml", "scripts", "manifests", "schemas")
_CONSOLE: Final = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SHAPES: Final = (
    (re.compile(r"/\S+/\.run/state"), ".run/state"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b2\d{5}\b"), "USER"),
    (re.compile(r" \(x\d+ over \d+s\)"), ""),
    (re.compile(r"\b\d+s\b"), "AGE"),
    (re.compile(r"(?<=\s)(-|[\d.]+[KMG]?i?m?/[\d.]+[KMG]?i?m?)(?=\s)"), "USED/LIMIT"),
    (re.compile(r"cgroup v[12] [\w.]+"), "CGROUP"),
    (re.compile(r"[ \t]+"), " "),
)
_WAITING_SECONDS: Final = 15.0


@dataclass(frozen=True)
class Step:
    """A command as a reader types it, and the output that follows it."""

    command: str
    output: str


def console_steps(text: str) -> Iterator[Step]:
    """The steps of every console block: what follows `$ `, a here-document with its lines, then its output."""
    for block in _CONSOLE.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            if command.endswith("<<EOF"):
                document, _, output = output.partition("\nEOF\n")
                command = f"{command}\n{document}\nEOF"
            yield Step(command, output)


def shape(output: str) -> list[str]:
    """The lines of an output without what differs from run to run and from machine to machine."""
    for pattern, word in _SHAPES:
        output = pattern.sub(word, output)
    return [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("note: ")]


class FreshCopy:
    """A copy of the repository whose environment is this one, with `make run` going from `with` to its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shell = {**os.environ, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}
        self._run: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        for name in _NEEDED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, self.folder / name)
        program = self.folder / ".venv" / "bin" / "sandkeeper"
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m controller.cli "$@"\n')
        program.chmod(0o755)
        (self.folder / ".venv" / ".ready").touch()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._remove_sandboxes()
        finally:
            self.stop()

    def _remove_sandboxes(self) -> None:
        sandkeeper = ".venv/bin/sandkeeper"
        self.shell("rm -rf manifests/*")
        listing = f"{sandkeeper} get --state-dir .run/state -o json 2>/dev/null"
        prune = f"{sandkeeper} prune --state-dir .run/state --confirm"
        self.until(lambda: bool(self.shell(prune)) and '"items": []' in self.shell(listing), "nothing is left")

    def start(self) -> None:
        """`make run`, on a port of its own."""
        with (self.folder / "log").open("ab") as log:
            self._run = subprocess.Popen(
                ["make", "run"],
                cwd=self.folder,
                env={**self._shell, "SANDKEEPER_LISTEN": "127.0.0.1:0"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Ctrl-C, for make and its child as on a terminal."""
        assert self._run is not None
        os.killpg(self._run.pid, signal.SIGINT)
        self._run.wait(30)

    def until(self, reached: Callable[[], bool], what: str) -> None:
        """Wait for a state; fails with the daemon's log."""
        deadline = time.monotonic() + _WAITING_SECONDS
        while not reached():
            assert time.monotonic() < deadline, f"{what}: not within {_WAITING_SECONDS} s\n{self.log}"
            time.sleep(0.05)

    @property
    def log(self) -> str:
        """What `make run` has shown."""
        return (self.folder / "log").read_text()

    def export(self, line: str) -> None:
        """Take over what an `export` of the README sets."""
        told = self.shell(f"{line}\nenv")
        self._shell |= dict(
            each.split("=", 1) for each in told.splitlines() if each.startswith(("PATH=", "SANDKEEPER_"))
        )

    def shell(self, command: str) -> str:
        """What a command shows on a terminal."""
        ended = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env=self._shell,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=90,
            check=False,
        )
        return ended.stdout

    def follow(self, step: Step) -> list[str]:
        """The shape of what a step shows; one that only looks is asked again until it shows what it should."""
        deadline = time.monotonic() + _WAITING_SECONDS
        shown = shape(self.shell(step.command))
        looks = re.match(r"sandkeeper (get|describe|explain|events)\b", step.command)
        while looks and shown != shape(step.output) and time.monotonic() < deadline:
            shown = shape(self.shell(step.command))
        return shown
