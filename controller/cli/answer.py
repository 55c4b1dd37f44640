"""The daemon's answer to one request, read as it comes."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any, Final

from controller.model.errors import (
    DaemonUnreachableError,
    RuntimeFailure,
    SandkeeperError,
    StateError,
    UnknownSandboxError,
    UsageError,
)

_CHUNK: Final = 1 << 16


class Answer:
    """A response and the channel that it comes over. Reading raises DaemonUnreachableError where it breaks off."""

    def __init__(self, response: http.client.HTTPResponse, channel: socket.socket) -> None:
        self.status = response.status
        self._response = response
        self._channel = channel

    def chunks(self, deadline: float | None = None) -> Iterator[bytes]:
        """Bytes as they come, until the end or the deadline (of time.monotonic)."""
        while chunk := self._read(deadline):
            yield chunk

    def lines(self, deadline: float | None = None) -> Iterator[bytes]:
        """Whole lines, without their end."""
        rest = b""
        for chunk in self.chunks(deadline):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole

    def json(self) -> Any:
        """All of it."""
        try:
            return json.loads(b"".join(self.chunks()))
        except ValueError as exc:
            raise _broken_off() from exc

    def refusal(self) -> SandkeeperError:
        """The error that a response with an error's status stands for."""
        text = b"".join(self.chunks()).decode(errors="replace").strip()
        try:
            told = json.loads(text)
        except ValueError:
            told = {}
        message = str(told.get("error") or text or f"the daemon answered with status {self.status}")
        if self.status == 404:
            return UnknownSandboxError(message)
        if self.status in (400, 409, 413):
            return UsageError(message)
        if self.status == 503:
            failure = RuntimeFailure(message)
            failure.reason = str(told.get("reason", failure.reason))
            return failure
        return StateError(message)

    def _read(self, deadline: float | None) -> bytes:
        if deadline is not None:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return b""
            self._channel.settimeout(remaining)
        try:
            return self._response.read1(_CHUNK)
        except (OSError, http.client.HTTPException) as exc:
            if isinstance(exc, TimeoutError) and deadline is not None:
                return b""
            raise _broken_off() from exc


def _broken_off() -> DaemonUnreachableError:
    return DaemonUnreachableError("the daemon broke off in the middle of its answer; see its log")
