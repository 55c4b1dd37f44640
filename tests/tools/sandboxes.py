"""What tools are given: a bare workspace, or a real sandbox of either runtime."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.runtime.protocol import ExecRequest, Runtime
from controller.skill.definition import Completed
from controller.tools.exec import run_to_end
from controller.tools.registry import ToolRegistry

SANDBOX_UID = 10001


class Bare:
    """Only a workspace; commands cannot be run in it."""

    def __init__(self, workspace: Path) -> None:
        self.sandbox_id = "bare"
        self.workspace_path = workspace
        self.isolation_mode = "directory"

    def exec(
        self, command: Sequence[str], stdin: bytes = b"", timeout: float | None = None, env: Mapping[str, str] = {}
    ) -> Completed:
        raise AssertionError("a file tool runs nothing")


@dataclass
class Real:
    """A running sandbox."""

    isolation_mode: str
    workspace_path: Path
    runtime: Runtime
    target: str
    sandbox_id: str = "real"
    tools: ToolRegistry = field(default_factory=ToolRegistry.with_builtin)

    def exec(
        self, command: Sequence[str], stdin: bytes = b"", timeout: float | None = None, env: Mapping[str, str] = {}
    ) -> Completed:
        request = ExecRequest(tuple(command), stdin=stdin, timeout=timeout, env=env)
        return run_to_end(lambda request: self.runtime.exec(self.target, request), request, 100_000)

    def run(self, tool: str, **arguments: Any) -> Any:
        return self.tools.run(tool, self, **arguments)


# It changes its user by itself, once it has all modules: that user may not be able to reach the interpreter.
_DROP = """
import ctypes, fcntl, os, signal, sys, time
if os.geteuid() == 0:
    os.setgroups([]); os.setgid({user}); os.setuid({user})
"""


@contextmanager
def hostile(script: str, workspace: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python script that runs in the workspace as its user, ended when the block is; it has begun once it prints."""
    words = [sys.executable, "-I", "-S", "-c", _DROP.format(user=SANDBOX_UID) + script, *arguments]
    with subprocess.Popen(words, cwd=workspace, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            yield process
            assert process.poll() is None, "it ended before its time"
        finally:
            process.kill()
