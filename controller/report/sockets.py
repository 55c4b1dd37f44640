"""The daemon's listening sockets: one on TCP that only reads, one on a private unix path that also writes."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path
from typing import Final

import psutil

from controller.model.errors import StateError, UsageError
from controller.unix_address import unix_address

_BACKLOG: Final = 128


def listen_tcp(listen: str) -> socket.socket:
    """A listening socket on `host:port`, `[v6]:port`, or `:port` for all interfaces; port 0 takes any free one.

    Raises UsageError where that cannot be: the text names who has the port, where this user may know.
    """
    host, port = _parse(listen)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as exc:
        raise UsageError(f"--listen {listen}: {host!r} is no address of this machine ({exc.strerror})") from exc
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(_BACKLOG)
    except OSError as exc:
        opened.close()
        raise UsageError(f"--listen {listen}: {_why_not(exc, port)}") from exc
    return opened


def listen_unix(path: Path) -> socket.socket:
    """A listening socket at `path`, mode 0600, whatever the path's length.

    The caller holds the instance lock, so a socket file without a listener is stale and is replaced. Raises StateError
    where something else is at the path, somebody still answers on it, or the folder cannot be written.
    """
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_stale(path)
        os.fchmod(opened.fileno(), 0o600)  # Linux gives the file this mode at bind: never open to others for a moment
        with unix_address(path) as address:
            opened.bind(address)
        path.chmod(0o600)
        opened.listen(_BACKLOG)
    except OSError as exc:
        opened.close()
        raise StateError(f"cannot listen on {path}: {exc.strerror}; make its folder writable for this user") from exc
    except StateError:
        opened.close()
        raise
    return opened


def is_loopback(opened: socket.socket) -> bool:
    """True where only this machine can connect."""
    host = str(opened.getsockname()[0])
    return host == "::1" or host.startswith("127.")


def _parse(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535 or (":" in host and not host.startswith("[")):
        raise UsageError(f"--listen {listen!r} is no address; write 127.0.0.1:9464, [::1]:9464 or :9464")
    return host.strip("[]"), int(port)


def _why_not(exc: OSError, port: int) -> str:
    if exc.errno == errno.EADDRINUSE:
        return f"port {port} is taken{_by_whom(port)}; end that process or choose another port"
    if exc.errno == errno.EACCES:
        return f"port {port} needs root; choose one above 1023"
    return f"{exc.strerror}; choose an address of this machine"


def _by_whom(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            local = connection.laddr
            if connection.status == psutil.CONN_LISTEN and local and local.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        return ""
    return ""


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StateError(f"{path} is in the way and no socket; move it away")
    if _is_answered(path):
        raise StateError(f"another process listens on {path}; stop it or choose another --state-dir")
    path.unlink()


def _is_answered(path: Path) -> bool:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe, unix_address(path) as address:
        probe.settimeout(1.0)
        try:
            probe.connect(address)
        except OSError as exc:
            return exc.errno == errno.EAGAIN  # its backlog is full
        return True
