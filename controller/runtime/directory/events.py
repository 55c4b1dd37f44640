"""Exits as they happen, from the supervisor."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import structlog

from controller.runtime.directory import wire
from controller.runtime.directory.client import SupervisorClient

log = structlog.get_logger(__name__)

_DYING_MS: Final = 2000


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
            try:
                subscription = _Subscription(connection)
            except OSError:
                connection.close()
                return  # it is going away: whoever needs it starts another
            self._connection = connection
        threading.Thread(target=self._run, args=(subscription,), name="directory-exits", daemon=True).start()

    def close(self) -> None:
        """End following."""
        with self._lock:
            self._closing = True
            connection = self._connection
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _run(self, subscription: _Subscription) -> None:
        try:
            for id in subscription.exits():
                self._exited(id)
        except Exception:  # what was missed is looked at once it is followed again
            log.exception("exits_panicked")
        gone = subscription.is_gone()
        subscription.close()
        with self._lock:
            self._connection = None
            closing = self._closing
        if closing:
            return
        try:
            if not gone:
                self.follow()  # it has only dropped us, and what it said meanwhile is missed
            self._lost()
        except Exception:
            log.exception("exits_panicked")


class _Subscription:
    """What one supervisor says; its process is held by a descriptor, so that its death is certain."""

    def __init__(self, connection: socket.socket) -> None:
        """Subscribe: no exit after this is missed. Raises OSError."""
        self._connection = connection
        self._lines = wire.Lines()
        wire.send(connection, {"v": wire.VERSION, "op": "subscribe"})
        while not (messages := self._lines.receive(connection)):
            if messages is None:
                raise ConnectionResetError("the supervisor went away")
        if "error" in messages[0]:
            raise ConnectionRefusedError(messages[0]["error"])
        self._first = messages[1:]
        self._process = os.pidfd_open(messages[0]["pid"])
        connection.settimeout(None)

    def exits(self) -> Iterator[str]:
        """The id of each instance that ends, until the connection does."""
        messages: list[dict[str, Any]] | None = self._first
        while messages is not None:
            yield from (message["id"] for message in messages)
            try:
                messages = self._lines.receive(self._connection)
            except OSError:
                return

    def is_gone(self) -> bool:
        """Whether the supervisor is gone: a dying process closes its sockets some time before it is dead."""
        poll = select.poll()
        poll.register(self._process, select.POLLIN)
        return bool(poll.poll(_DYING_MS))

    def close(self) -> None:
        self._connection.close()
        os.close(self._process)
