"""Something on a unix socket that answers as an engine would."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final

INFO: Final[Mapping[str, Any]] = {
    "ServerVersion": "20.10.24",
    "Driver": "overlay2",
    "CgroupVersion": "1",
    "CgroupDriver": "cgroupfs",
    "DockerRootDir": "/",
    "Runtimes": {"runc": {}, "runsc": {}},
    "DefaultRuntime": "runc",
    "MemoryLimit": True,
    "SwapLimit": True,
    "CpuCfsQuota": True,
    "PidsLimit": True,
}


class Engine(socketserver.UnixStreamServer):
    """Answers every request alike, but one for an image, which it has where it answers at all."""

    def __init__(self, path: Path, answer: Any, status: int = 200) -> None:
        super().__init__(str(path), Handler)
        self.answer, self.status = answer, status


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """Answer as the engine says."""
        assert isinstance(self.server, Engine)
        answer = {"Size": 125_000_000} if self.path.startswith("/images/") else self.server.answer
        body = json.dumps(answer).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def engine(path: Path, answer: Any, status: int = 200) -> Iterator[str]:
    """One at the path, until the end; its address."""
    with Engine(path, answer, status) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"unix://{path}"
        server.shutdown()
