"""Tell systemd how the daemon fares: one datagram a message to $NOTIFY_SOCKET.

The protocol: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

_SECONDS_PER_MICROSECOND: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Notifier:
    """Sends to one address; without one, every method does nothing. A manager that went away is no error of ours.

    `watchdog` is how often (seconds) `alive` has to be called at least, None where the manager does not watch.
    """

    address: str = ""
    watchdog: float | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """As the manager's $NOTIFY_SOCKET and $WATCHDOG_USEC (meant for this process: $WATCHDOG_PID) say."""
        limit = environ.get("WATCHDOG_USEC", "")
        for_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        # Half of the limit, as sd_watchdog_enabled(3) recommends.
        watchdog = int(limit) * _SECONDS_PER_MICROSECOND / 2 if limit.isdecimal() and for_us else None
        return cls(environ.get("NOTIFY_SOCKET", ""), watchdog)

    def ready(self, status: str = "") -> None:
        """Start-up is over."""
        self._send("READY=1", status)

    def stopping(self, status: str = "") -> None:
        """Shutdown has begun."""
        self._send("STOPPING=1", status)

    def alive(self) -> None:
        """The loop lives: puts the watchdog off."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(status=text)

    def _send(self, state: str = "", status: str = "") -> None:
        lines = [state] if state else []
        if status:
            lines.append("STATUS=" + " ".join(status.split()))
        if not self.address or not lines:
            return
        # A leading @ stands for the zero byte of an abstract address.
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)
            try:
                channel.sendto("\n".join(lines).encode(), address)
            except OSError:
                return
