"""How daemon and supervisor talk: JSON lines over a unix socket, descriptors beside them; and who a process is.

A request is one line `{"v": 1, "op": …}`, an answer one line; an answer with `error` says why not. Operations:
`start` (id, folder, logBytes, oomFile, launch) → {pid}, once the command is executed or has failed to be;
`exec` (id, token, timeout, launch; stdin, stdout, stderr as descriptors) → {pid}, and at its end {exitCode};
`wait` (id) → {} once no main process of that sandbox is left unrecorded;
`subscribe` → {pid} of the supervisor, and from then on {"event": "exit", id}.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final

from controller.unix_address import unix_address

VERSION: Final = 1
SOCKET: Final = "supervisor.sock"
LOCK: Final = "supervisor.lock"
LOG: Final = "supervisor.log"
MAIN_LOG: Final = "output.log"
RUN_FILE: Final = "run.json"
EXIT_FILE: Final = "exit.json"

_MOST_DESCRIPTORS: Final = 3
_CHUNK: Final = 65536


def listen(run_dir: str) -> socket.socket:
    """Bind the socket (0600) in a folder whose path may be longer than a socket's address; replaces a stale one."""
    path = f"{run_dir}/{SOCKET}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if os.path.lexists(path):
        os.unlink(path)
    with unix_address(path) as address:
        listener.bind(address)
    os.chmod(path, 0o600)
    listener.listen(128)
    return listener


def connect(run_dir: str, timeout: float) -> socket.socket:
    """Connect to the socket in a folder. Raises OSError (FileNotFoundError, ConnectionRefusedError: nobody there)."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        with unix_address(f"{run_dir}/{SOCKET}") as address:
            connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def encode(message: Mapping[str, Any]) -> bytes:
    """One line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def send(connection: socket.socket, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send one line, the descriptors with its first byte. Raises OSError."""
    data = encode(message)
    sent = 0
    if descriptors:
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        sent = connection.sendmsg([data], passed)
    if sent < len(data):  # who has it whole may have answered and closed by now, and an error would have it sent again
        connection.sendall(data[sent:])


class Lines:
    """What has arrived on a connection: whole lines as messages, and the descriptors that came with them."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self.descriptors: list[int] = []

    def receive(self, connection: socket.socket) -> list[dict[str, Any]] | None:
        """Read once; the messages that are complete by now, None at the end. Raises OSError, ValueError on no JSON."""
        room = socket.CMSG_SPACE(_MOST_DESCRIPTORS * array.array("i").itemsize)
        data, ancillary, _, _ = connection.recvmsg(_CHUNK, room, socket.MSG_CMSG_CLOEXEC)
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                passed = array.array("i")
                passed.frombytes(content[: len(content) - len(content) % passed.itemsize])
                self.descriptors.extend(passed)
        if not data:
            return None
        self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line) for line in lines]

    def take_descriptors(self) -> list[int]:
        """The descriptors that have come; they are the caller's to close from now on."""
        taken, self.descriptors = self.descriptors, []
        return taken


def identity_of(pid: int) -> str | None:
    """A process for all time: boot, pid and its start in clock ticks; None where it is gone or a zombie."""
    ticks = start_ticks(pid)
    return None if ticks is None else f"{_boot_id()}:{pid}:{ticks}"


def is_alive(identity: str) -> bool:
    """Whether the very process of an identity is still there."""
    pid = identity.split(":")[1] if identity.count(":") == 2 else ""
    return pid.isdigit() and identity_of(int(pid)) == identity


def start_ticks(pid: int) -> int | None:
    """When a process started (proc(5), field 22 of stat); None where it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
