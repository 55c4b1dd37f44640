"""Exits as they happen, from the supervisor."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

from controller.runtime.directory import wire
from controller.runtime.directory.client import SupervisorClient


class ExitEvents:
    """Calls `exited` with the id of each instance whose main process ended, and `lost` when the supervisor goes away.

    Follows the supervisor that is there when `follow` is called; a new one has to be followed anew.
    """

    def __init__(self, client: SupervisorClient, exited: Callable[[str], None], lost: Callable[[], None]) -> None:
        self._client = client
        self._exited = exited
        self._lost = lost
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._closing = False

    def follow(self) -> None:
        """Follow the supervisor, where there is one that is not followed yet."""
        with self._lock:
            if self._connection is not None or self._closing:
                return
            connection = self._client.connect()
            if connection is None:
                return
            lines = wire.Lines()
            try:
                first = _subscribe(connection, lines)
            except OSError:
                connection.close()
                return  # it is going away: whoever needs it starts another
            self._connection = connection
        arguments = (connection, lines, first)
        threading.Thread(target=self._run, args=arguments, name="directory-exits", daemon=True).start()

    def close(self) -> None:
        """End following."""
        with self._lock:
            self._closing = True
            connection = self._connection
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _run(self, connection: socket.socket, lines: wire.Lines, first: list[dict[str, Any]]) -> None:
        messages: list[dict[str, Any]] | None = first
        with connection:
            while messages is not None:
                for message in messages:
                    if message.get("event") == "exit":
                        self._exited(message["id"])
                messages = _receive(connection, lines)
        with self._lock:
            self._connection = None
            closing = self._closing
        if not closing:
            self._lost()


def _subscribe(connection: socket.socket, lines: wire.Lines) -> list[dict[str, Any]]:
    """Whatever has come once the subscription holds: no exit after this is missed. Raises OSError."""
    wire.send(connection, {"v": wire.VERSION, "op": "subscribe"})
    messages: list[dict[str, Any]] | None = []
    while not messages:
        if messages is None:
            raise ConnectionResetError("the supervisor went away")
        messages = lines.receive(connection)
    connection.settimeout(None)
    return messages


def _receive(connection: socket.socket, lines: wire.Lines) -> list[dict[str, Any]] | None:
    try:
        return lines.receive(connection)
    except OSError:
        return None
