"""Answers of the engine that are read as they come: events, logs, pulls, the two-way stream of an exec.

Each has a connection of its own, so that any thread can end it at once. docker-py's own streams cannot be given a
deadline, and on a two-way stream lose what arrives together with the headers.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedIOBase, BytesIO
from typing import Any, BinaryIO, Final, cast

from controller.model.errors import RuntimeFailure
from controller.runtime.docker.translate import TRANSPORT_ERRORS, from_answer, from_exception, message_of

_CHUNK: Final = 65536
_STREAMS: Final = {1: "stdout", 2: "stderr"}


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """`first` bounds the seconds until the headers, `silence` those between two reads (None: a watchdog's business).

    `upgrade` asks for a two-way stream. `content` is a tar file to send instead of a JSON body.
    """

    body: Any = None
    content: BinaryIO | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    first: float = 15.0
    silence: float | None = None
    upgrade: bool = False


class EngineStream:
    """One answer, asked for by `open`. Reads raise RuntimeFailure where the engine went away; after `close` they end
    quietly.
    """

    def __init__(self, path: str, request: StreamRequest, connect: float) -> None:
        self._path = path
        self._request = request
        self._closed = False
        self._connection = _UnixConnection(path, connect)
        self._reader: BufferedIOBase = BytesIO()

    def open(self, method: str, url: str) -> None:
        """Ask, and wait for the headers. Raises RuntimeFailure."""
        try:
            self._reader = self._ask(method, url, self._request)
        except TRANSPORT_ERRORS as exc:
            self._connection.end()
            raise from_exception(exc, self._path) from exc
        except RuntimeFailure:
            self._connection.end()
            raise

    def _ask(self, method: str, url: str, request: StreamRequest) -> BufferedIOBase:
        headers = dict(request.headers) | {"Host": "docker"}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        if request.upgrade:
            headers |= {"Connection": "Upgrade", "Upgrade": "tcp"}
        body: Any = None if request.body is None else json.dumps(request.body)
        if request.content is not None:
            headers |= {"Content-Type": "application/x-tar", "Content-Length": str(_size_of(request.content))}
            body = request.content
        self._connection.connect()
        self._connection.channel.settimeout(request.first)
        try:
            self._connection.request(method, url, body=body, headers=headers)
        except (BrokenPipeError, ConnectionResetError):
            if request.content is None:
                raise  # else it was refused before all of it was sent: the answer says why
        response = self._connection.getresponse()
        if response.status >= 400:
            raise from_answer(response.status, message_of(response.read()))
        self._connection.channel.settimeout(request.silence)
        # What follows the headers of an upgrade is no body: it is read from the buffered file below the response.
        return cast(BufferedIOBase, response.fp) if request.upgrade else response

    def chunks(self) -> Iterator[bytes]:
        """Raw bytes as they come."""
        while chunk := self._read(_CHUNK):
            yield chunk

    def frames(self) -> Iterator[tuple[str, bytes]]:
        """("stdout" or "stderr", bytes) of a multiplexed stream
        (https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach).
        """
        buffer = bytearray()
        for chunk in self.chunks():
            buffer += chunk
            while len(buffer) >= 8:
                kind, size = struct.unpack_from(">BxxxL", buffer)
                if len(buffer) < 8 + size:
                    break
                yield _STREAMS.get(kind, "stdout"), bytes(buffer[8 : 8 + size])
                del buffer[: 8 + size]

    def lines(self) -> Iterator[Any]:
        """Every line as JSON."""
        buffer = bytearray()
        for chunk in self.chunks():
            buffer += chunk
            *whole, rest = bytes(buffer).split(b"\n")
            buffer[:] = rest
            for line in whole:
                if line.strip():
                    yield self._parsed(line)

    def send(self, data: bytes) -> None:
        """Write to a two-way stream. Raises RuntimeFailure where nobody reads any more."""
        try:
            self._connection.channel.sendall(data)
        except OSError as exc:
            raise from_exception(exc, self._path) from exc

    def end_input(self) -> None:
        """Half-close a two-way stream: the command's stdin ends. Raises RuntimeFailure."""
        try:
            self._connection.channel.shutdown(socket.SHUT_WR)
        except OSError as exc:
            raise from_exception(exc, self._path) from exc

    def close(self) -> None:
        """End it, from whatever thread. Idempotent."""
        self._closed = True
        self._connection.end()

    def _read(self, size: int) -> bytes:
        try:
            return self._reader.read1(size)
        except (*TRANSPORT_ERRORS, ValueError, AttributeError) as exc:  # the last two: closed while it was reading
            if self._closed:
                return b""
            raise from_exception(exc, self._path) from exc

    def _parsed(self, line: bytes) -> Any:
        try:
            return json.loads(line)
        except ValueError as exc:
            raise RuntimeFailure(f"the engine sent a line that is not JSON: {line[:200]!r}") from exc


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket, kept at hand to be shut down."""

    def __init__(self, path: str, connect: float) -> None:
        super().__init__("docker", timeout=connect, blocksize=_CHUNK)
        self._path = path
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def connect(self) -> None:
        if self.sock is None:
            self.channel.settimeout(self.timeout)
            self.channel.connect(self._path)
            self.sock = self.channel

    def end(self) -> None:
        """Wake whoever reads: closing alone would not."""
        with contextlib.suppress(OSError):  # never connected, or gone already
            self.channel.shutdown(socket.SHUT_RDWR)
        self.channel.close()


def _size_of(content: BinaryIO) -> int:
    size = content.seek(0, os.SEEK_END)
    content.seek(0)
    return size
