"""Which process answers behind the engine's socket: an engine that was restarted is another than one that hung.

The engine's API says neither when it started nor anything else that a restart changes.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ENGINE: Final = "dockerd"
_MANAGER: Final = "systemd"
_UCRED: Final = struct.Struct("3i")  # unix(7), SO_PEERCRED: pid, uid, gid


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """`token` differs for every run of an engine on any boot; `started_at` is epoch seconds."""

    token: str
    started_at: float


def engine_process(path: str, timeout: float = 2.0) -> EngineProcess | None:
    """The process that listens on a socket; None where that cannot be told (another pid namespace, hidden /proc).

    Of a socket that a service manager opened (`dockerd -H fd://`), it is the manager's child of the engine's name.
    Raises OSError where nothing listens.
    """
    listener = _listener(path, timeout)
    if listener <= 0:
        return None
    name = _read(f"/proc/{listener}/comm")
    if name == _ENGINE:
        return _described(listener)
    engines = _engines_of(listener) if name == _MANAGER else []
    return _described(engines[0]) if len(engines) == 1 else None


def answering_engine(path: str, timeout: float = 2.0) -> EngineProcess | None:
    """`engine_process` of an engine that answers on a new connection. Raises OSError where it does not.

    One that shuts down closes its listener before it stops its containers, and serves old connections to the end.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(timeout)
        probe.connect(path)
        probe.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
        if not probe.recv(1):
            raise ConnectionResetError(f"{path} was closed without an answer")
    return engine_process(path, timeout)


def _listener(path: str, timeout: float) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(timeout)
        probe.connect(path)
        pid, _, _ = _UCRED.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(pid)


def _engines_of(parent: int) -> list[int]:
    return [pid for pid in _pids() if _read(f"/proc/{pid}/comm") == _ENGINE and _stat(pid)[1:2] == [str(parent)]]


def _described(pid: int) -> EngineProcess | None:
    fields = _stat(pid)
    if len(fields) < 20:
        return None
    ticks = int(fields[19])
    boot = _read("/proc/sys/kernel/random/boot_id")
    return EngineProcess(f"{boot}:{pid}:{ticks}", _boot_time() + ticks / os.sysconf("SC_CLK_TCK"))


def _stat(pid: int) -> list[str]:
    """proc(5): the fields of `stat` behind the name: state, ppid, …; the start time is the 20th."""
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _boot_time() -> float:
    for line in _read("/proc/stat").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def _pids() -> Iterator[int]:
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            yield int(entry.name)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""  # gone meanwhile, or hidden
