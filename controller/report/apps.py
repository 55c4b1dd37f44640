"""The two applications: one that anybody on the machine may read from, one for the owner of the unix socket."""

from __future__ import annotations

from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.report.answers import REFUSALS, answer, only_private
from controller.report.backend import Backend
from controller.report.routes_read import ReadRoutes
from controller.report.routes_write import WriteRoutes

LOOPBACK_NAMES: Final = frozenset(("localhost", "127.0.0.1", "::1"))


def read_app(backend: Backend, names: frozenset[str] | None) -> Starlette:
    """What TCP serves: it only reads. `names` are the hosts that a request may name (None: any).

    On loopback they keep a web page elsewhere, whose name was made to resolve to this machine, from reading along.
    """
    routes = [
        *ReadRoutes(backend).routes(),
        Route("/api/{rest:path}", _forbid, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]
    return _app(routes, [Middleware(_Guard, names=names)])


def full_app(backend: Backend) -> Starlette:
    """What the unix socket serves: all of it."""
    routes = [*ReadRoutes(backend).routes(), *WriteRoutes(backend).routes()]
    return _app(routes, [Middleware(_Guard, names=None)])


def _app(routes: list[Route], middleware: list[Middleware]) -> Starlette:
    return Starlette(routes=routes, middleware=middleware, exception_handlers=REFUSALS)


async def _forbid(request: Request) -> Response:
    if request.method == "GET" and not request.url.path.endswith(("/logs", "/plan")):
        raise HTTPException(404, f"{request.url.path} is not here")
    return only_private()


class _Guard:
    """Refuses requests for another host, and gives every answer the headers that keep browsers careful."""

    def __init__(self, app: ASGIApp, names: frozenset[str] | None) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        host = _host_name(Headers(scope=scope).get("host", ""))
        if self._names is not None and host and host not in self._names:
            refusal = answer({"error": f"this is not {host:.80}; ask for localhost or 127.0.0.1"}, 421)
            await refusal(scope, receive, send)
            return

        async def send_carefully(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["cache-control"] = "no-store"
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "no-referrer"
            await send(message)

        await self._app(scope, receive, send_carefully)


def _host_name(header: str) -> str:
    """`localhost` of `localhost:9464`, `::1` of `[::1]:9464`."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()
