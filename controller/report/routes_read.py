"""What anybody who can connect may read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from controller.model.identity import sandbox_key
from controller.report.answers import answer, flag, key_of, of_sandbox, only_private, whole_number
from controller.report.backend import Backend
from controller.report.event_feed import EventFeed
from controller.report.lanes import StreamResponse
from controller.report.listing import SandboxFeed
from controller.report.metrics import CONTENT_TYPE
from controller.report.page import page_response
from controller.report.protocol import DaemonInfo
from controller.report.render import daemon_document, sandbox_document, termination_document
from controller.report.watching import Feed, Watch

PROBE_SECONDS: Final = 5.0
MOST_EVENTS: Final = 5000

_DEFAULT_NAMESPACE: Final = "default"


class ReadRoutes:
    """The routes that only look."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._control = backend.control
        self._lanes = backend.lanes

    def routes(self) -> list[Route]:
        """All of them."""
        one = "/api/v1/sandboxes/{namespace}/{name}"
        return [
            Route("/", page_response),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
            Route("/api/v1/daemon", self.daemon),
            Route("/api/v1/sandboxes", self.sandboxes),
            Route("/api/v1/events", self.events),
            Route(one, self.sandbox),
            Route(f"{one}/terminations", self.terminations),
        ]

    async def healthz(self, _: Request) -> Response:
        """200 while the loop is alive."""
        return await self._probe(lambda info: info.alive, "the loop is not alive; see the daemon's log, or restart it")

    async def readyz(self, _: Request) -> Response:
        """200 once the first scan is done."""
        return await self._probe(lambda info: info.synced, "the first scan of the manifests is not done yet")

    async def metrics(self, _: Request) -> Response:
        """Prometheus' text format."""
        page = await self._lanes.probes.call(lambda: self._backend.metrics.page(self._control))
        return Response(page, headers={"content-type": CONTENT_TYPE})

    async def daemon(self, _: Request) -> Response:
        """The daemon as a whole."""
        return answer(await self._lanes.reads.call(lambda: daemon_document(self._control.info())))

    async def sandboxes(self, request: Request) -> Response:
        """All sandboxes of one namespace or of all; with `watch`, lines of lists."""
        namespace = request.query_params.get("namespace")
        feed = SandboxFeed(self._backend, namespace)
        if flag(request, "watch"):
            return await self._watch(feed)
        content, _ = await self._lanes.reads.call(feed.read)
        return Response(content, media_type="application/json")

    async def sandbox(self, request: Request) -> Response:
        """One sandbox."""
        key, history, output = key_of(request), self._backend.history, self._backend.private
        view = await self._lanes.reads.call(lambda: of_sandbox(self._control.sandbox, key))
        return answer(sandbox_document(view, history.summary(key), output))

    async def terminations(self, request: Request) -> Response:
        """The evidence kept of one sandbox, newest first; also of one that is gone."""
        key, output = key_of(request), self._backend.private
        found = await self._lanes.reads.call(lambda: of_sandbox(self._control.terminations, key))
        return answer({"items": [termination_document(termination, output) for termination in found]})

    async def events(self, request: Request) -> Response:
        """Events, oldest first: the newest `limit`, or the first ones after an id; with `watch`, lines of them."""
        after, limit = whole_number(request, "after", 0), whole_number(request, "limit", 1000)
        namespace, name = request.query_params.get("namespace"), request.query_params.get("name")
        key = None if name is None else sandbox_key(namespace or _DEFAULT_NAMESPACE, name)
        feed = EventFeed(self._control, key, namespace, max(1, min(limit, MOST_EVENTS)))
        if flag(request, "watch"):
            return await self._watch(feed)
        content = await self._lanes.reads.call(lambda: feed.page(after))
        return Response(content, media_type="application/json")

    async def _watch(self, feed: Feed) -> Response:
        """Lines for as long as the client stays, each of them worked out for it alone."""
        if not self._backend.private:
            return only_private()
        if not await self._lanes.streams.reserve():
            return self._lanes.streams.refusal()
        watch = Watch(feed)
        return StreamResponse(self._lanes.streams, watch, watch.close, "application/x-ndjson")

    async def _probe(self, is_well: Callable[[DaemonInfo], bool], complaint: str) -> Response:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                info = await self._lanes.probes.call(self._control.info)
        except TimeoutError:
            return PlainTextResponse(f"the daemon does not answer within {PROBE_SECONDS:.0f} s\n", 503)
        return PlainTextResponse("ok\n") if is_well(info) else PlainTextResponse(f"{complaint}\n", 503)
