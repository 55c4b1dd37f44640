"""Running a command inside a container, with an end that is sure to come."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from typing import Any, Final

import structlog

from controller.model.clock import Clock
from controller.model.errors import InstanceNotFoundError, RuntimeFailure
from controller.runtime.cgroup.hierarchy import Hierarchy
from controller.runtime.docker.client import EngineClient, quoted
from controller.runtime.docker.process_tree import KILL_SECONDS, ExecTree
from controller.runtime.docker.stream import EngineStream, StreamRequest
from controller.runtime.procfs import EXEC_MARKER
from controller.runtime.protocol import ExecRequest

log = structlog.get_logger(__name__)

TIMED_OUT: Final = 124
_KILLED: Final = 137
_LOOK_SECONDS: Final = 1.0  # a stream can hang for ever when its container's kernel dies: the engine is asked
_DRAIN_SECONDS: Final = 1.0
_START_SECONDS: Final = 1.0
_FIRST_PAUSE: Final = 0.002
_STDIN_CHUNK: Final = 65536
# Where the machine's own kernel does not show the processes, or they are not ours to signal.
# What forked before it was killed left a child to the next round; a round that finds none is the last.
_KILL_SCRIPT: Final = """
round=0
while [ $round -lt 20 ]; do
  round=$((round + 1)); found=
  for file in /proc/[0-9]*/environ; do
    pid=${file#/proc/}; pid=${pid%/environ}
    if tr '\\0' '\\n' < "$file" | grep -qxF "$0"; then found=yes; kill -9 "$pid"; fi
  done
  [ "$found" ] || exit 0
done 2>/dev/null
exit 1
"""


class DockerExec:
    """A running exec (see ExecSession). A thread of its own watches over deadline and stream."""

    def __init__(self, client: EngineClient, container: tuple[str, int], request: ExecRequest, clock: Clock) -> None:
        """`container` is its id and the host pid of its first process. Raises RuntimeFailure; ConflictError where it
        does not run or is paused.
        """
        self._client = client
        self._container, self._container_pid = container
        self._clock = clock
        self._marker = secrets.token_hex(8)
        self._deadline = None if request.timeout is None else clock.monotonic() + request.timeout
        self._ended = threading.Event()
        self._drained = threading.Event()
        self._killing = threading.Lock()
        self._code: int | None = None
        self._pid = 0
        self._waits_since: float | None = None
        self._id = self._create(request)
        self._stream = self._start()
        threading.Thread(target=self._watch, name="exec-watch", daemon=True).start()
        if request.stdin:
            threading.Thread(target=self._feed, args=(request.stdin,), name="exec-stdin", daemon=True).start()

    def output(self) -> Iterator[tuple[str, bytes]]:
        """Chunks as they come."""
        try:
            self._waits_since = self._clock.monotonic()
            for frame in self._stream.frames():
                self._waits_since = None
                yield frame
                self._waits_since = self._clock.monotonic()
        finally:
            self._drained.set()

    def exit_code(self) -> int:
        """The exit status; waits for the end of a command that has closed its output."""
        pause = _FIRST_PAUSE
        while self._code is None:
            self._look()
            if self._code is None:
                self._clock.wait(self._ended, pause)
                pause = min(pause * 2, _LOOK_SECONDS)
        return self._code

    def close(self) -> None:
        """Kill what still runs of it."""
        if not self._ended.is_set():
            self._end(_KILLED)
        self._drained.set()
        self._stream.close()

    def _create(self, request: ExecRequest) -> str:
        environment = {**request.env, EXEC_MARKER: self._marker}
        body: dict[str, Any] = {
            "Cmd": list(request.command),
            "AttachStdin": bool(request.stdin),
            "AttachStdout": True,
            "AttachStderr": True,
            "Tty": False,
            "Env": [f"{name}={value}" for name, value in environment.items()],
        }
        if request.working_dir:
            body["WorkingDir"] = request.working_dir
        return str(self._client.post(f"/containers/{quoted(self._container)}/exec", body)["Id"])

    def _start(self) -> EngineStream:
        request = StreamRequest(body={"Detach": False, "Tty": False}, upgrade=True)
        return self._client.stream("POST", f"/exec/{self._id}/start", request)

    def _feed(self, data: bytes) -> None:
        try:
            for start in range(0, len(data), _STDIN_CHUNK):
                self._stream.send(data[start : start + _STDIN_CHUNK])
            self._stream.end_input()
        except RuntimeFailure:
            log.debug("exec_stdin_closed", container=self._container)  # the command does not read it all

    def _watch(self) -> None:
        while not self._ended.is_set():
            left = _LOOK_SECONDS if self._deadline is None else self._deadline - self._clock.monotonic()
            if left <= 0:
                self._end(TIMED_OUT)
                break
            self._clock.wait(self._ended, min(left, _LOOK_SECONDS))
            try:
                self._look()
            except RuntimeFailure as exc:
                log.debug("exec_not_seen", container=self._container, error=str(exc))
        while not self._clock.wait(self._drained, _DRAIN_SECONDS):
            if self._is_silent():
                break
        self._stream.close()

    def _is_silent(self) -> bool:
        """Whether nothing comes any more, rather than nobody reading: a child may hold the output open."""
        since = self._waits_since
        return since is not None and self._clock.monotonic() - since >= _DRAIN_SECONDS

    def _look(self) -> None:
        """Ask the engine how it stands. Raises RuntimeFailure."""
        if self._ended.is_set():
            return
        try:
            state = self._client.get(f"/exec/{self._id}/json")
        except InstanceNotFoundError:
            self._finish(_KILLED)  # its container is gone, and with it every process
            return
        self._pid = state.get("Pid") or self._pid
        if not state.get("Running") and state.get("ExitCode") is not None:
            self._finish(int(state["ExitCode"]))

    def _look_until_started(self) -> None:
        """An engine tells the pid a moment after the command has begun to speak. Raises RuntimeFailure."""
        deadline = self._clock.monotonic() + _START_SECONDS
        self._look()
        while not self._pid and not self._ended.is_set() and self._clock.monotonic() < deadline:
            self._clock.wait(self._ended, _FIRST_PAUSE)
            self._look()

    def _finish(self, code: int) -> None:
        with self._killing:
            if self._code is None:
                self._code = code
        self._ended.set()

    def _end(self, code: int) -> None:
        """Kill the tree; `code` is then the exit status, unless it ended just before."""
        try:
            self._look_until_started()
        except RuntimeFailure as exc:
            log.debug("exec_not_seen", container=self._container, error=str(exc))
        if self._ended.is_set():
            return
        self._finish(code)
        tree = ExecTree(self._pid, self._marker, self._container, self._container_pid)
        if self._pid and tree.kill(Hierarchy.detect()):
            return
        try:
            self._kill_inside()
        except RuntimeFailure as exc:
            log.warning("exec_not_killed", container=self._container, command_pid=self._pid, error=str(exc))

    def _kill_inside(self) -> None:
        body = {"Cmd": ["sh", "-c", _KILL_SCRIPT, f"{EXEC_MARKER}={self._marker}"], "AttachStdout": True}
        id = self._client.post(f"/containers/{quoted(self._container)}/exec", body)["Id"]
        request = StreamRequest(body={"Detach": False}, upgrade=True, silence=KILL_SECONDS)
        stream = self._client.stream("POST", f"/exec/{id}/start", request)
        try:
            for _ in stream.chunks():
                pass
        finally:
            stream.close()
        if self._client.get(f"/exec/{id}/json").get("ExitCode"):
            raise RuntimeFailure("no shell in the container could kill it; it ends with the container")
