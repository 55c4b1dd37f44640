"""Foreign errors become ours at one seam: the engine's answers, and what comes of calls without one."""

from __future__ import annotations

import http.client

import pytest
import requests
import urllib3

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
from controller.runtime.docker.translate import from_answer, from_exception, message_of

V1_BUSY = "write /sys/fs/cgroup/memory/x/memory.limit_in_bytes: device or resource busy"


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (404, "No such container: abc", InstanceNotFoundError),
        (404, "No such exec instance: abc", InstanceNotFoundError),
        (404, "no such image: x:1: No such image: x:1", ImageUnavailableError),
        (404, "network abc not found", InstanceNotFoundError),
        (409, 'Conflict. The container name "/x" is already in use', ConflictError),
        (400, "Unknown runtime specified foo", CannotRunError),
        (400, 'OCI runtime create failed: exec: "/nope": stat /nope: no such file or directory', CannotRunError),
        (500, 'unable to start container process: exec: "nope": executable file not found in $PATH', CannotRunError),
        (500, 'unable to start container process: exec: "/etc/passwd": permission denied', CannotRunError),
        (400, "client version 1.52 is too new. Maximum supported API version is 1.41", EngineUnavailableError),
        (
            500,
            "unable to set memory limit to 10485760 (current usage: 14389248, peak usage: 16461824)",
            ResizePendingError,
        ),
        (500, V1_BUSY, ResizePendingError),
        (500, "mkdir /var/lib/docker/overlay2/x: no space left on device", DiskFullError),
        (400, "write /var/lib/docker/x: disk quota exceeded", DiskFullError),
    ],
)
def test_an_answer_becomes_the_error_that_it_means(status: int, message: str, error: type[RuntimeFailure]) -> None:
    assert type(from_answer(status, message)) is error


@pytest.mark.parametrize(("status", "message"), [(404, "page not found"), (404, ""), (500, "something"), (503, "")])
def test_only_a_confirmed_absence_is_one(status: int, message: str) -> None:
    failure = from_answer(status, message)
    assert type(failure) is RuntimeFailure
    assert str(failure)


@pytest.mark.parametrize(
    ("exception", "error", "reason"),
    [
        (requests.exceptions.ReadTimeout("read"), EngineTimeoutError, "EngineTimeout"),
        (TimeoutError("timed out"), EngineTimeoutError, "EngineTimeout"),
        (
            requests.exceptions.ConnectionError(urllib3.exceptions.ReadTimeoutError(None, "/", "read")),  # type: ignore[arg-type]  # no pool
            EngineTimeoutError,
            "EngineTimeout",
        ),
        (FileNotFoundError(2, "No such file"), EngineUnavailableError, "EngineDown"),
        (ConnectionRefusedError(111, "refused"), EngineUnavailableError, "EngineDown"),
        (PermissionError(13, "denied"), EngineUnavailableError, "EnginePermission"),
        (http.client.RemoteDisconnected("closed"), EngineUnavailableError, "EngineDown"),
        (
            requests.exceptions.ConnectionError(
                urllib3.exceptions.ProtocolError("aborted", PermissionError(13, "denied"))
            ),
            EngineUnavailableError,
            "EnginePermission",
        ),
    ],
)
def test_a_call_without_an_answer_becomes_what_kept_it(
    exception: BaseException, error: type[RuntimeFailure], reason: str
) -> None:
    failure = from_exception(exception, "/run/docker.sock")
    assert (type(failure), failure.reason) == (error, reason)
    assert "/run/docker.sock" in str(failure)


def test_what_is_ours_already_stays() -> None:
    ours = ConflictError("look again")
    assert from_exception(ours, "/run/docker.sock") is ours


@pytest.mark.parametrize(
    ("content", "message"), [(b'{"message":"no"}', "no"), (b"plain", "plain"), (b"[1]", "[1]"), (b"\xff", "\ufffd")]
)
def test_the_engines_message_is_found_in_whatever_it_sends(content: bytes, message: str) -> None:
    assert message_of(content) == message
