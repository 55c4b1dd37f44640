"""What only the owner of the unix socket may do: act, run commands, read output, have a plan made."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Final, Protocol, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from controller.model.errors import SandkeeperError
from controller.model.identity import Key
from controller.report.answers import answer, body_of, flag, json_bytes, key_of, of_sandbox, whole_number
from controller.report.backend import Backend
from controller.report.lanes import StreamResponse
from controller.runtime.protocol import ExecRequest, ExecSession

_SUSPENDED: Final = "by hand (sandkeeper suspend)"
_RESTARTED: Final = "by hand (sandkeeper restart)"
_LONGEST_EXEC: Final = 10 * 365 * 86400


class Closable(Protocol):
    """What a stream reads from."""

    def close(self) -> None:
        """End it."""


T = TypeVar("T")
S = TypeVar("S", bound=Closable)


class WriteRoutes:
    """The routes that act, and those that look at more than everybody may."""

    def __init__(self, backend: Backend) -> None:
        self._control = backend.control
        self._lanes = backend.lanes

    def routes(self) -> list[Route]:
        """All of them."""
        one = "/api/v1/sandboxes/{namespace}/{name}"
        posts: dict[str, Callable[[Request], Any]] = {
            "/api/v1/reconcile": self.reconcile_all,
            "/api/v1/prune": self.prune,
            f"{one}/suspend": self.suspend,
            f"{one}/resume": self.resume,
            f"{one}/restart": self.restart,
            f"{one}/reconcile": self.reconcile,
            f"{one}/delete": self.delete,
            f"{one}/restore": self.restore,
            f"{one}/exec": self.exec,
        }
        return [
            *(Route(path, endpoint, methods=["POST"]) for path, endpoint in posts.items()),
            Route(f"{one}/logs", self.logs),
            Route("/api/v1/plan", self.plan),
        ]

    async def suspend(self, request: Request) -> Response:
        """Hold it Suspended."""
        await self._act(request, lambda key: self._control.suspend(key, _SUSPENDED))
        return answer({})

    async def resume(self, request: Request) -> Response:
        """Release its holds."""
        return answer({"released": list(await self._act(request, self._control.resume))})

    async def restart(self, request: Request) -> Response:
        """Stop and start it once."""
        await self._act(request, lambda key: self._control.restart(key, _RESTARTED))
        return answer({})

    async def reconcile(self, request: Request) -> Response:
        """Look at it now."""
        await self._act(request, self._control.reconcile)
        return answer({})

    async def reconcile_all(self, _: Request) -> Response:
        """Look at every manifest and sandbox now."""
        await self._lanes.acts.call(lambda: self._control.reconcile(None))
        return answer({})

    async def delete(self, request: Request) -> Response:
        """Remove one that no file declares, or with `hold` keep a declared one away."""
        hold = _typed(await body_of(request), "hold", bool, False)
        await self._act(request, lambda key: self._control.delete(key, hold))
        return answer({})

    async def restore(self, request: Request) -> Response:
        """Bring a deleted sandbox's workspace back."""
        return answer(dict(await self._act(request, self._control.restore)))

    async def prune(self, request: Request) -> Response:
        """Release blocked removals."""
        body = await body_of(request)
        hash_ = None if body.get("hash") is None else _typed(body, "hash", str, "")
        released = await self._lanes.acts.call(lambda: self._control.confirm_prune(hash_))
        return answer({"released": list(released)})

    async def plan(self, _: Request) -> Response:
        """What would be done now; every look at it asks the live engine for each sandbox."""
        preview = await self._lanes.acts.call(self._control.plan)
        return answer({"operations": list(preview.operations), "faults": list(preview.faults)})

    async def exec(self, request: Request) -> Response:
        """Run a command inside: lines of output as it comes, then its exit code or why there is none."""
        wanted = _exec_request(await body_of(request))
        opening = self._act(request, lambda key: self._control.exec(key, wanted))
        return await self._stream(opening, _exec_lines, "application/x-ndjson")

    async def logs(self, request: Request) -> Response:
        """The main process's output."""
        tail, follow = whole_number(request, "tail", -1), flag(request, "follow")
        opening = self._act(request, lambda key: self._control.logs(key, None if tail < 0 else tail, follow))
        return await self._stream(opening, iter, "application/octet-stream")

    async def _act(self, request: Request, work: Callable[[Key], T]) -> T:
        key = key_of(request)
        return await self._lanes.acts.call(lambda: of_sandbox(work, key))

    async def _stream(
        self, opening: Coroutine[Any, Any, S], chunks: Callable[[S], Iterator[bytes]], media_type: str
    ) -> Response:
        """What was opened, as it comes. A place for it is taken first: what cannot be read must not be started."""
        streams = self._lanes.streams
        if not await streams.reserve():
            opening.close()
            return streams.refusal()
        try:
            opened = await opening
        except BaseException:
            streams.give_back()
            raise
        return StreamResponse(streams, chunks(opened), opened.close, media_type)


def _exec_request(body: Mapping[str, Any]) -> ExecRequest:
    command = _typed(body, "command", list, [])
    if not command or not all(isinstance(word, str) for word in command):
        raise HTTPException(400, "command: a list of at least one string is wanted")
    env = _typed(body, "env", dict, {})
    if not all(isinstance(value, str) for value in env.values()):
        raise HTTPException(400, "env: strings are wanted")
    timeout = None if body.get("timeout") is None else _typed(body, "timeout", (int, float), 0)
    if timeout is not None and not 0 < timeout <= _LONGEST_EXEC:  # NaN is in no range
        raise HTTPException(400, f"timeout: seconds above 0, at most {_LONGEST_EXEC}, or null, are wanted")
    return ExecRequest(
        command=tuple(command),
        stdin=_decoded(_typed(body, "stdin", str, "")),
        timeout=timeout,
        env=env,
        working_dir=_typed(body, "workingDir", str, ""),
    )


def _exec_lines(session: ExecSession) -> Iterator[bytes]:
    try:
        for stream, data in session.output():
            yield json_bytes({"stream": stream, "data": base64.b64encode(data).decode()}) + b"\n"
        yield json_bytes({"exitCode": session.exit_code()}) + b"\n"
    except SandkeeperError as exc:
        yield json_bytes({"error": str(exc)}) + b"\n"


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise HTTPException(400, f"stdin: base64 is wanted ({exc})") from exc


def _typed(body: Mapping[str, Any], name: str, kind: type | tuple[type, ...], absent: Any) -> Any:
    value = body.get(name, absent)
    if not isinstance(value, kind):
        raise HTTPException(400, f"{name}: {value!r:.40} is of the wrong type")
    return value
