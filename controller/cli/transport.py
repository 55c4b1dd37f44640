"""HTTP over a unix socket, whatever the length of its path.

The standard library's client starts in a tenth of httpx's time, and every verb pays for it.
"""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

from controller.unix_address import unix_address


class UnixConnection(http.client.HTTPConnection):
    """One connection to a socket file. `timeout` bounds each wait, in seconds; None: wait for ever."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect. Raises OSError."""
        self.sock = connect_unix(self._path, self.timeout)


def connect_unix(path: Path, timeout: float | None) -> socket.socket:
    """A stream connected to the socket file, however long its path. Raises OSError."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        channel.settimeout(timeout)
        with unix_address(path) as address:
            channel.connect(address)
    except BaseException:
        channel.close()
        raise
    return channel
