"""Requests to the supervisor: one that has arrived is never taken for one that has not."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from controller.runtime.directory import wire


def test_a_request_that_is_answered_before_its_sender_goes_on_was_sent() -> None:
    ours, theirs = socket.socketpair()

    class Hasty(socket.socket):
        def sendmsg(self, *arguments: Any) -> int:
            sent = super().sendmsg(*arguments)
            theirs.recv(4096)
            theirs.close()
            return sent

    with Hasty(fileno=ours.detach()) as connection, Path(os.devnull).open() as file:
        wire.send(connection, {"op": "exec"}, [file.fileno()])
