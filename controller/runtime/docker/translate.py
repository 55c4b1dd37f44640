"""The one place where what the engine, requests and sockets say becomes an error of ours."""

from __future__ import annotations

import http.client
import json
import re
from typing import Final

import requests
import urllib3
from docker.errors import DockerException

from controller.model.errors import (
    CannotRunError,
    ConflictError,
    DiskFullError,
    EngineTimeoutError,
    EngineUnavailableError,
    ImageUnavailableError,
    InstanceNotFoundError,
    ResizePendingError,
    RuntimeFailure,
)

TRANSPORT_ERRORS: Final = (
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    DockerException,
    OSError,
)

_TIMEOUTS: Final = (TimeoutError, requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)
_DISK_FULL: Final = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_BELOW_USAGE: Final = re.compile(
    r"unable to set memory limit to \d+ \(current usage|memory\.[a-z_.]*limit_in_bytes: device or resource busy"
)
# runc's words for a command that is not there or cannot be executed; any other failed start may pass.
_NO_COMMAND: Final = re.compile(
    r"executable file not found|exec: .*(no such file or directory|permission denied|is a directory)|exec format error"
)
_WRONG_VERSION: Final = re.compile(r"client version [\d.]+ is too (new|old)")


def from_answer(status: int, message: str) -> RuntimeFailure:
    """The error of an answer with a status of 400 or more and the engine's message."""
    text = message.strip() or f"the engine answered {status}"
    if _DISK_FULL.search(text):
        return DiskFullError(f"{text}; free space below the engine's data root (`docker system df`)")
    if status == 404:
        return _from_absence(text)
    if status == 409:
        return ConflictError(text)
    if _BELOW_USAGE.search(text):
        return ResizePendingError(text)
    if status == 400 or _NO_COMMAND.search(text):
        return _from_refusal(text)
    return RuntimeFailure(text)


def _from_refusal(text: str) -> RuntimeFailure:
    if _WRONG_VERSION.search(text):
        return EngineUnavailableError(f"the engine speaks another version of its API now: {text}")
    return CannotRunError(text)


def message_of(content: bytes) -> str:
    """The engine's message in the body of a failed call."""
    try:
        return str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")


def _from_absence(text: str) -> RuntimeFailure:
    lower = text.lower()
    if "no such image" in lower:
        return ImageUnavailableError(text)
    if "no such" in lower or (lower.startswith("network ") and lower.endswith(" not found")):
        return InstanceNotFoundError(text)
    return RuntimeFailure(f"the engine does not know this request: {text}")  # a 404 that confirms no absence


def from_exception(exc: BaseException, socket: str) -> RuntimeFailure:
    """The error of a call that got no whole answer; `socket` is the engine's."""
    if isinstance(exc, RuntimeFailure):
        return exc
    chain = tuple(_causes(exc))
    if any(isinstance(cause, PermissionError) for cause in chain):
        return EngineUnavailableError(
            f"{socket} may not be opened by this user: add it to the group of the socket "
            "(usermod -aG docker USER, then log in again), or run as root",
            "EnginePermission",
        )
    if any(isinstance(cause, _TIMEOUTS) for cause in chain):
        return EngineTimeoutError(
            f"the engine behind {socket} did not answer in time: it hangs, or the machine is busy"
        )
    if any(isinstance(cause, FileNotFoundError) for cause in chain):
        return EngineUnavailableError(
            f"there is no engine at {socket}: start it (systemctl start docker), or set DOCKER_HOST"
        )
    if any(isinstance(cause, ConnectionRefusedError) for cause in chain):
        return EngineUnavailableError(f"nothing listens on {socket}: start the engine (systemctl start docker)")
    return EngineUnavailableError(f"the connection to the engine behind {socket} was lost: {exc}")


def _causes(exc: BaseException | None) -> list[BaseException]:
    """An exception with what it was raised from, and what requests and urllib3 hide in `args` and `reason`."""
    found: list[BaseException] = []
    pending: list[object] = [exc]
    while pending and len(found) < 20:
        each = pending.pop()
        if not isinstance(each, BaseException) or each in found:
            continue
        found.append(each)
        pending += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
    return found
