"""The HTTP server: one thread with one event loop, for the read-only TCP socket and the private unix socket."""

from __future__ import annotations

import asyncio
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
import uvicorn
from starlette.applications import Starlette

from controller.report.apps import LOOPBACK_NAMES, full_app, read_app
from controller.report.backend import Backend
from controller.report.metrics import Metrics
from controller.report.protocol import ControlPlane
from controller.report.sockets import is_loopback, listen_tcp, listen_unix
from controller.report.usage_history import UsageHistory

STOP_SECONDS: Final = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """`listen` is host:port, port 0 for any free one, "" for no TCP. `unix` is the socket's path, of any length."""

    listen: str = "127.0.0.1:9464"
    unix: Path | None = None


@dataclass(frozen=True, slots=True)
class _Site:
    socket: socket.socket
    backend: Backend
    server: uvicorn.Server


class HttpServer:
    """Serves in a thread of its own from `start` to `stop`. The caller holds the instance lock."""

    def __init__(self, control: ControlPlane, metrics: Metrics, history: UsageHistory, config: HttpConfig) -> None:
        self._control = control
        self._metrics = metrics
        self._history = history
        self._config = config
        self._sites: list[_Site] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self.url = ""

    def start(self) -> None:
        """Listen; connections are taken from its return on. `url` is then the TCP address, "" without one.

        Raises UsageError where TCP's port cannot be had, StateError where the unix socket cannot. Nothing is then open.
        """
        try:
            if self._config.listen:
                self._sites.append(self._tcp_site(listen_tcp(self._config.listen)))
            if self._config.unix is not None:
                backend = Backend(self._control, self._metrics, self._history, private=True)
                self._sites.append(_Site(listen_unix(self._config.unix), backend, _server(full_app(backend))))
        except Exception:
            for site in self._sites:
                site.socket.close()
            raise
        self._thread.start()
        self._looping.wait(STOP_SECONDS)

    def stop(self) -> None:
        """End every stream and request, close the sockets. Idempotent; returns within about STOP_SECONDS."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._wind_up)
            self._thread.join(STOP_SECONDS)
        if self._sites and self._config.unix is not None:
            self._config.unix.unlink(missing_ok=True)
        self._sites = []

    def _tcp_site(self, opened: socket.socket) -> _Site:
        host, port = opened.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        names = LOOPBACK_NAMES | {host} if is_loopback(opened) else None
        backend = Backend(self._control, self._metrics, self._history, private=False)
        return _Site(opened, backend, _server(read_app(backend, names)))

    def _wind_up(self) -> None:
        for site in self._sites:
            site.server.should_exit = True
            site.backend.lanes.streams.close_streams()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:
            log.exception("http server ended")

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._looping.set()
        await asyncio.gather(*(site.server.serve(sockets=[site.socket]) for site in self._sites))


def _server(app: Starlette) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=2,
        )
    )
