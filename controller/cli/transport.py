"""HTTP over a unix socket, whatever the length of its path.

The standard library's client starts in a tenth of httpx's time, and every verb pays for it.
"""

from __future__ import annotations

import http.client
import os
import socket
import tempfile
from pathlib import Path
from typing import Final

# sockaddr_un holds 108 bytes with the closing zero: unix(7).
LONGEST_ADDRESS: Final = 107


class UnixConnection(http.client.HTTPConnection):
    """One connection to a socket file. `timeout` bounds each wait, in seconds; None: wait for ever."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect. Raises OSError."""
        self.sock = connect_unix(self._path, self.timeout)


def connect_unix(path: Path, timeout: float | None) -> socket.socket:
    """A stream connected to the socket file; a long path is reached through a short link. Raises OSError."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        channel.settimeout(timeout)
        if len(os.fsencode(path)) <= LONGEST_ADDRESS:
            channel.connect(str(path))
            return channel
        with tempfile.TemporaryDirectory(prefix="sandkeeper-") as folder:
            link = Path(folder, "socket")
            link.symlink_to(path.absolute())
            channel.connect(str(link))
    except BaseException:
        channel.close()
        raise
    return channel
