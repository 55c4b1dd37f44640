"""The supervisor as the runtime sees it: started when something has to be run, asked over its socket."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import structlog

from controller.model.errors import ConflictError, DiskFullError, EngineTimeoutError, RuntimeFailure
from controller.runtime.directory import supervisor, wire
from controller.runtime.directory.record import translated

log = structlog.get_logger(__name__)

_PROGRAM: Final = str(Path(supervisor.__file__).with_name("__main__.py"))
_ALREADY_SERVED: Final = 3
_TRIES: Final = 5
_LARGEST_LOG: Final = 1 << 20
_NOBODY: Final = (FileNotFoundError, ConnectionRefusedError)


class SupervisorClient:
    """Callable from any thread; each request has a connection of its own.

    `before_request` is called with a supervisor there and nothing asked of it yet: whoever wants to miss nothing of
    what follows has the chance to subscribe.
    """

    def __init__(self, run_dir: Path, timeout: float) -> None:
        self._run_dir = run_dir
        self._timeout = timeout
        self._starting = threading.Lock()
        self.before_request: Callable[[], None] = lambda: None

    def connect(self) -> socket.socket | None:
        """A connection to the supervisor that is there; None where there is none."""
        try:
            return wire.connect(str(self._run_dir), self._timeout)
        except _NOBODY:
            return None
        except OSError as exc:
            raise RuntimeFailure(f"the supervisor's socket in {self._run_dir} cannot be used: {exc}") from exc

    def open(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> socket.socket:
        """Send a request to the supervisor, started where there is none; the connection that answers come on."""
        for _ in range(_TRIES):
            connection = self.connect()
            if connection is None:
                self._start()
                continue
            self.before_request()
            try:
                wire.send(connection, {"v": wire.VERSION, **message}, descriptors)
            except OSError as exc:
                connection.close()
                log.info("supervisor_left", error=exc.strerror)
                continue  # it was just ending, for want of anything to do
            return connection
        raise EngineTimeoutError("the supervisor ends as often as it is started; " + self._look_here())

    def request(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """One request and its answer. Raises RuntimeFailure with what the supervisor says went wrong."""
        for _ in range(_TRIES):
            with self.open(message) as connection:
                try:
                    return self.answer(connection)
                except ConnectionResetError:
                    continue  # unix(7): it ended with our request unread
        raise EngineTimeoutError("the supervisor ends as often as it is asked; " + self._look_here())

    def wait_for_exit(self, id: str) -> None:
        """Return once no main process of an instance is left, and its end recorded; at once without a supervisor."""
        connection = self.connect()
        if connection is None:
            return
        with connection:
            try:
                wire.send(connection, {"v": wire.VERSION, "op": "wait", "id": id})
                self.answer(connection)
            except OSError:
                return  # it is gone

    def answer(self, connection: socket.socket) -> Mapping[str, Any]:
        """The one answer on a connection. Raises as `request`, and ConnectionResetError."""
        lines = wire.Lines()
        try:
            while not (messages := lines.receive(connection)):
                if messages is None:
                    raise ConflictError("the supervisor went away; look again")
        except TimeoutError as exc:
            raise EngineTimeoutError(f"the supervisor did not answer within {self._timeout:g} s") from exc
        answer: dict[str, Any] = messages[0]
        if "error" in answer:
            raise _refused(answer)
        return answer

    def _start(self) -> None:
        """Start a supervisor and return when it serves. It detaches itself, and outlives us."""
        with self._starting:
            try:
                self._run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
                with self._open_log() as output:
                    done = subprocess.run(
                        [sys.executable, "-I", "-S", _PROGRAM, str(self._run_dir)],
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        env={name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"},
                        timeout=self._timeout,
                        check=False,
                    )
            except subprocess.TimeoutExpired as exc:
                raise EngineTimeoutError(f"the supervisor did not start within {self._timeout:g} s") from exc
            except OSError as exc:
                raise translated(exc, "the supervisor cannot be started") from exc
        if done.returncode not in (0, _ALREADY_SERVED):
            raise RuntimeFailure(f"the supervisor ended with status {done.returncode}; {self._look_here()}")
        log.info("supervisor_started", run_dir=str(self._run_dir))

    def _look_here(self) -> str:
        return f"{self._run_dir / wire.LOG} says why"

    def _open_log(self) -> IO[str]:
        path = self._run_dir / wire.LOG
        path.touch(mode=0o600)
        return path.open("w" if path.stat().st_size > _LARGEST_LOG else "a", encoding="utf-8")


def _refused(answer: Mapping[str, Any]) -> RuntimeFailure:
    text = f"the supervisor refused: {answer['error']}"
    if answer.get("errno") in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(f"{text}; free space on the state folder's file system")
    return RuntimeFailure(text)
