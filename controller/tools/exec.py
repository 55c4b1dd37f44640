"""Running a command of a sandbox to its end, however much it says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from controller.runtime.protocol import ExecRequest, ExecSession
from controller.skill.definition import Completed

MOST_BYTES: Final = 1 << 20


def run_to_end(
    session_of: Callable[[ExecRequest], ExecSession], request: ExecRequest, most_bytes: int = MOST_BYTES
) -> Completed:
    """Start the command and read it to its end. Of each stream the first and the last half of `most_bytes` are kept.

    What was left out between them is said in the stream, and by `truncated`. Raises RuntimeFailure.
    """
    streams = {"stdout": Kept(most_bytes), "stderr": Kept(most_bytes)}
    session = session_of(request)
    try:
        for name, chunk in session.output():
            streams[name].add(chunk)
        code = session.exit_code()
    finally:
        session.close()
    stdout, stderr = streams["stdout"], streams["stderr"]
    return Completed(code, stdout.text(), stderr.text(), bool(stdout.left_out or stderr.left_out))


class Kept:
    """The beginning and the end of what came: an error's cause is mostly at the one or the other."""

    def __init__(self, most: int) -> None:
        self._head_room = most - most // 2
        self._tail_room = most // 2
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._in_tail = 0
        self.left_out = 0

    def add(self, chunk: bytes) -> None:
        """More has come."""
        if room := self._head_room - len(self._head):
            self._head += chunk[:room]
            chunk = chunk[room:]
        if not chunk:
            return
        self._tail.append(chunk)
        self._in_tail += len(chunk)
        while (excess := self._in_tail - self._tail_room) > 0:
            first = self._tail.popleft()
            if len(first) > excess:
                self._tail.appendleft(first[excess:])
            dropped = min(excess, len(first))
            self._in_tail -= dropped
            self.left_out += dropped

    def text(self) -> bytes:
        """What is kept, with a line of its own about what is not."""
        note = f"\n[… {self.left_out} bytes were left out here …]\n".encode() if self.left_out else b""
        return bytes(self._head) + note + b"".join(self._tail)
