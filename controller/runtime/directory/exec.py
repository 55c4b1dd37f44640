"""Commands run beside the main process, through the supervisor, with pipes straight to us."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import uuid4

from controller.model.errors import ConflictError, EngineTimeoutError, RuntimeFailure
from controller.runtime.directory import wire
from controller.runtime.directory.client import SupervisorClient

_CHUNK: Final = 65536
_LAST_READS: Final = 64
_KILLED: Final = 137


def new_token() -> str:
    """What marks the processes of one exec."""
    return uuid4().hex


class DirectoryExec:
    """Implements ExecSession. The connection is its life: the supervisor kills its tree when that closes."""

    def __init__(self, client: SupervisorClient, message: Mapping[str, Any], stdin: bytes) -> None:
        """Start the command. Raises RuntimeFailure where there is no supervisor to be had, or it cannot be started."""
        self._pending = memoryview(stdin)
        self._pipes = _Pipes()
        try:
            self._connection = client.open(message, self._pipes.theirs)
        except BaseException:
            self._pipes.close()
            raise
        finally:
            self._pipes.close_theirs()
        self._lines = wire.Lines()
        self._answer: dict[str, Any] | None = None
        self._closed = False
        self._reading = False
        self._started = False
        try:
            while not self._started:
                self._read_answer()
        except BaseException:
            self._release()
            raise

    def output(self) -> Iterator[tuple[str, bytes]]:
        """Chunks as they come, until the command's end; what it left running does not hold this up.

        Raises ConflictError where the supervisor went away.
        """
        self._reading = True
        try:
            with selectors.DefaultSelector() as selector:
                yield from self._copy(selector)
            yield from self._rest()
        finally:
            self._release()

    def exit_code(self) -> int:
        """Its exit status; waits for its end, passing output by, where that was not read."""
        if self._answer is None and not self._closed:
            for _ in self.output():
                pass
        return _KILLED if self._answer is None else int(self._answer["exitCode"])

    def close(self) -> None:
        """End it, from any thread. Idempotent."""
        self._closed = True
        with contextlib.suppress(OSError):  # it has ended
            self._connection.shutdown(socket.SHUT_RDWR)
        if not self._reading:
            self._release()

    def _copy(self, selector: selectors.BaseSelector) -> Iterator[tuple[str, bytes]]:
        self._connection.setblocking(False)
        selector.register(self._connection, selectors.EVENT_READ, "answer")
        selector.register(self._pipes.stdout, selectors.EVENT_READ, "stdout")
        selector.register(self._pipes.stderr, selectors.EVENT_READ, "stderr")
        selector.register(self._pipes.stdin, selectors.EVENT_WRITE, "stdin")
        while self._answer is None and not self._closed:
            for key, _ in selector.select():
                if key.data == "answer":
                    self._read_answer()
                elif key.data == "stdin":
                    self._feed(selector)
                elif chunk := os.read(key.fd, _CHUNK):
                    yield key.data, chunk
                else:
                    selector.unregister(key.fd)

    def _feed(self, selector: selectors.BaseSelector) -> None:
        try:
            written = os.write(self._pipes.stdin, self._pending[:_CHUNK]) if self._pending else 0
        except BlockingIOError:
            return
        except BrokenPipeError:
            written = len(self._pending)
        self._pending = self._pending[written:]
        if not self._pending:
            selector.unregister(self._pipes.stdin)
            self._pipes.close_stdin()

    def _read_answer(self) -> None:
        try:
            messages = self._lines.receive(self._connection)
        except TimeoutError as exc:
            raise EngineTimeoutError("the supervisor does not answer; see its log") from exc
        except OSError:
            messages = None
        if messages is None and not self._closed:
            raise ConflictError("the supervisor went away, and the command with it; look again")
        for message in messages or ():
            self._started = True
            if message.get("setup") or ("error" in message and "exitCode" not in message):
                raise RuntimeFailure(f"the command cannot be started: {message['error']}")
            if "exitCode" in message:
                self._answer = message

    def _rest(self) -> Iterator[tuple[str, bytes]]:
        """What is still in the pipes; a process left behind may hold them open for ever."""
        if self._answer is None:
            return
        for name, descriptor in (("stdout", self._pipes.stdout), ("stderr", self._pipes.stderr)):
            for _ in range(_LAST_READS):
                try:
                    chunk = os.read(descriptor, _CHUNK)
                except BlockingIOError:
                    break
                if not chunk:
                    break
                yield name, chunk
        if "error" in self._answer:
            yield "stderr", f"cannot run the command: {self._answer['error']}\n".encode()

    def _release(self) -> None:
        self._closed = True
        self._connection.close()
        self._pipes.close()


class _Pipes:
    """Our ends (never blocking) and theirs, of stdin, stdout and stderr."""

    def __init__(self) -> None:
        opened: list[int] = []
        try:
            for _ in range(3):
                opened += os.pipe2(os.O_CLOEXEC)
        except OSError as exc:
            for descriptor in opened:
                os.close(descriptor)
            raise RuntimeFailure(f"no pipes for the command: {exc.strerror}; raise LimitNOFILE") from exc
        stdin, self.stdin, self.stdout, stdout, self.stderr, stderr = opened
        self.theirs = (stdin, stdout, stderr)
        self._ours = {self.stdin, self.stdout, self.stderr}
        for descriptor in self._ours:
            os.set_blocking(descriptor, False)

    def close_theirs(self) -> None:
        for descriptor in self.theirs:
            os.close(descriptor)
        self.theirs = (-1, -1, -1)

    def close_stdin(self) -> None:
        self._ours.discard(self.stdin)
        os.close(self.stdin)

    def close(self) -> None:
        """Close our ends. Idempotent."""
        while self._ours:
            os.close(self._ours.pop())
