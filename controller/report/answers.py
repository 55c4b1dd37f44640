"""Requests taken apart, and answers in one shape: JSON; a refusal is `{"error": text, "reason": word}`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from controller.model.errors import RuntimeFailure, SandkeeperError, UnknownSandboxError, UsageError
from controller.model.identity import Key, sandbox_key

LARGEST_BODY: Final = 16 << 20
"""Bytes of a request's body: an exec's stdin is the only large part of one."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


def json_bytes(value: Any) -> bytes:
    """Compact JSON in ASCII: a lone surrogate in some log line breaks no encoder."""
    return json.dumps(value, separators=(",", ":")).encode()


def answer(value: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(json_bytes(value), status, media_type="application/json")


def only_private() -> Response:
    """The answer over TCP to what is not for everybody."""
    text = "this is served on the daemon's unix socket only; use the sandkeeper command as the daemon's user"
    return answer({"error": text, "reason": "ReadOnly"}, 403)


def key_of(request: Request) -> Key:
    """The key that the path names."""
    return sandbox_key(request.path_params["namespace"], request.path_params["name"])


def of_sandbox(work: Callable[[Key], T], key: Key) -> T:
    """The answer of a ControlPlane's method about one sandbox. Raises UnknownSandboxError for its KeyError."""
    try:
        return work(key)
    except KeyError as exc:
        raise UnknownSandboxError(f"there is no {key}; `sandkeeper get -A` lists all") from exc


def whole_number(request: Request, name: str, absent: int) -> int:
    """A query parameter that is a whole number."""
    text = request.query_params.get(name)
    if text is None:
        return absent
    if not text.isdecimal() or len(text) > 18:
        raise HTTPException(400, f"{name}={text!r:.40} is no whole number")
    return int(text)


def flag(request: Request, name: str) -> bool:
    """A query parameter that is `true` or not."""
    return request.query_params.get(name, "").lower() in ("true", "1")


async def body_of(request: Request) -> Mapping[str, Any]:
    """The request's JSON object; empty where there is no body."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST_BODY:
            raise HTTPException(413, f"the request is larger than {LARGEST_BODY >> 20} MiB; write it to the workspace")
    try:
        value = json.loads(content) if content else {}
    except ValueError as exc:
        raise HTTPException(400, f"the request is no JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise HTTPException(400, "the request is no JSON object")
    return value


async def refuse(_: Request, exc: Exception) -> Response:
    """The answer to an error that was raised on purpose."""
    if isinstance(exc, HTTPException):
        return answer({"error": exc.detail}, exc.status_code)
    if isinstance(exc, UnknownSandboxError):
        return answer({"error": str(exc), "reason": "NotFound"}, 404)
    if isinstance(exc, UsageError):
        return answer({"error": str(exc), "reason": "Usage"}, 409)
    if isinstance(exc, RuntimeFailure):
        return answer({"error": str(exc), "reason": exc.reason}, 503)
    return answer({"error": str(exc), "reason": type(exc).__name__.removesuffix("Error")}, 500)


async def apologize(request: Request, exc: Exception) -> Response:
    """The answer to a fault of ours."""
    log.error("request failed", method=request.method, path=request.url.path, error=repr(exc))
    return answer({"error": "sandkeeper failed at this; its log says more", "reason": "Internal"}, 500)


REFUSALS: Final = {HTTPException: refuse, SandkeeperError: refuse, Exception: apologize}
"""Starlette's `exception_handlers`."""
