"""Blocking calls and blocking streams beside an event loop, each kind with its own bound on threads.

One kind that hangs (a plan on a dead engine, log followers) cannot take the threads of another (probes, scrapes).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Lane:
    """At most `limit` threads at a time; a thread lives for one call and does not hold up the process's end."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._free = asyncio.Semaphore(limit)
        self._streams: set[StreamResponse] = set()

    async def call(self, work: Callable[[], T]) -> T:
        """The result of `work`, run in a thread once one is free. Raises what it raises."""
        await self._free.acquire()
        return await self._run(work)

    async def reserve(self) -> bool:
        """Take a place for a StreamResponse without waiting; False where all are taken."""
        if self._free.locked():
            return False
        await self._free.acquire()
        return True

    def give_back(self) -> None:
        """Free a place that was reserved and not used."""
        self._free.release()

    def refusal(self) -> Response:
        """What to answer where no place could be reserved."""
        text = f"{self._limit} {self._name} are open already; end one and try again"
        return JSONResponse({"error": text, "reason": "Busy"}, status_code=503)

    def close_streams(self) -> None:
        """End every open stream."""
        for stream in tuple(self._streams):
            stream.close()

    async def stream(self, stream: StreamResponse, work: Callable[[], None]) -> None:
        """Run the work of a stream in the place that was reserved for it."""
        self._streams.add(stream)
        try:
            await self._run(work)
        finally:
            self._streams.discard(stream)

    async def _run(self, work: Callable[[], T]) -> T:
        """A caller that is cancelled leaves the thread to end by itself; its place is free only then."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            result: Any = None
            error: BaseException | None = None
            try:
                result = work()
            except BaseException as exc:  # noqa: BLE001 - raised again where it is awaited
                error = exc
            with suppress(RuntimeError):  # the loop is closed: the server has stopped and nobody waits
                loop.call_soon_threadsafe(self._settle, outcome, result, error)

        threading.Thread(target=run, name=f"http-{self._name}", daemon=True).start()
        return await outcome

    def _settle(self, outcome: asyncio.Future[T], result: T, error: BaseException | None) -> None:
        self._free.release()
        if outcome.cancelled():
            return
        if error is None:
            outcome.set_result(result)
        else:
            outcome.set_exception(error)


class StreamResponse(Response):
    """Sends chunks as a blocking iterator yields them, in a place that its lane has reserved.

    `end` makes the iterator end. It is called once: when the client hangs up, when the server stops, or at the end.
    """

    def __init__(self, lane: Lane, chunks: Iterable[bytes], end: Callable[[], None], media_type: str) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self._lane = lane
        self._chunks = chunks
        self._end: Callable[[], None] | None = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Serve it as ASGI."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        loop = asyncio.get_running_loop()
        sending = asyncio.ensure_future(self._lane.stream(self, lambda: self._send_all(send, loop)))
        hanging_up = asyncio.ensure_future(_hang_up(receive))
        try:
            await asyncio.wait({sending, hanging_up}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hanging_up.cancel()
            self.close()
            sending.add_done_callback(_log_failure)
        if sending.done() and sending.exception() is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def close(self) -> None:
        """End it, in a thread, since that may block."""
        if self._end is not None:
            threading.Thread(target=self._end, name="http-close", daemon=True).start()
        self._end = None

    def _send_all(self, send: Send, loop: asyncio.AbstractEventLoop) -> None:
        for chunk in self._chunks:
            message = {"type": "http.response.body", "body": chunk, "more_body": True}
            asyncio.run_coroutine_threadsafe(_send(send, message), loop).result()  # waits where the client is slow


def _log_failure(sending: asyncio.Future[None]) -> None:
    """The client learns of it by an answer that breaks off."""
    if not sending.cancelled() and (error := sending.exception()) is not None:
        log.warning("stream broke off", error=str(error), kind=type(error).__name__)


async def _send(send: Send, message: dict[str, Any]) -> None:
    await send(message)


async def _hang_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
