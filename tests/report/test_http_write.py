"""What is served on the private socket, over a real one."""

from __future__ import annotations

import base64
import json
import threading
from typing import Any

import httpx
import pytest

from controller.model.errors import (
    EngineTimeoutError,
    EngineUnavailableError,
    StateError,
    UsageError,
)
from controller.runtime.protocol import ExecRequest
from tests.report.plane import FakePlane
from tests.report.values import WEB

ONE = "/api/v1/sandboxes/default/web"


@pytest.mark.parametrize(
    ("path", "body", "asked", "answer"),
    [
        (f"{ONE}/suspend", None, ("suspend", WEB), {}),
        (f"{ONE}/resume", None, ("resume", WEB), {"released": ["Suspended"]}),
        (f"{ONE}/restart", {}, ("restart", WEB), {}),
        (f"{ONE}/reconcile", {}, ("reconcile", WEB), {}),
        (f"{ONE}/delete", {"hold": True}, ("delete", WEB, True), {}),
        (f"{ONE}/delete", None, ("delete", WEB, False), {}),
        (f"{ONE}/restore", None, ("restore", WEB), {"uid": "0b9c", "path": "/w", "declared": False, "document": {}}),
        ("/api/v1/reconcile", None, ("reconcile", None), {}),
        ("/api/v1/prune", {"hash": "ab"}, ("prune", "ab"), {"released": ["default/web"]}),
        ("/api/v1/prune", {"hash": None}, ("prune", None), {"released": ["default/web"]}),
    ],
)
def test_verbs_reach_the_daemon(
    unix: httpx.Client, plane: FakePlane, path: str, body: Any, asked: tuple[Any, ...], answer: dict[str, Any]
) -> None:
    got = unix.post(path, json=body) if body is not None else unix.post(path)
    assert (got.status_code, got.json()) == (200, answer)
    assert plane.asked == [asked]


@pytest.mark.parametrize(
    ("failure", "status", "reason"),
    [
        (UsageError("it is declared in web.yaml:1"), 409, "Usage"),
        (KeyError("web"), 404, "NotFound"),
        (EngineUnavailableError("start it", "EnginePermission"), 503, "EnginePermission"),
        (EngineTimeoutError("slow"), 503, "EngineTimeout"),
        (StateError("disk full"), 500, "State"),
    ],
)
def test_refusals_have_a_status_a_text_and_a_reason(
    unix: httpx.Client, plane: FakePlane, failure: Exception, status: int, reason: str
) -> None:
    plane.failure = failure
    got = unix.post(f"{ONE}/restart")
    assert (got.status_code, got.json()["reason"]) == (status, reason)
    assert got.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        "nonsense",
        "[]",
        "{}",
        '{"command": []}',
        '{"command": [1]}',
        '{"command": "id"}',
        '{"command": ["id"], "stdin": "%"}',
        '{"command": ["id"], "timeout": 0}',
        '{"command": ["id"], "timeout": "1s"}',
        '{"command": ["id"], "timeout": -1}',
        '{"command": ["id"], "timeout": NaN}',
        '{"command": ["id"], "timeout": Infinity}',
        '{"command": ["id"], "timeout": 1e300}',
        '{"command": ["id"], "env": {"A": 1}}',
        '{"command": ["id"], "workingDir": 1}',
    ],
)
def test_an_exec_that_cannot_be_read_is_refused(unix: httpx.Client, plane: FakePlane, body: str) -> None:
    answer = unix.post(f"{ONE}/exec", content=body)
    assert (answer.status_code, plane.asked) == (400, [])
    assert answer.json()["error"]


def test_a_body_that_is_too_large_is_refused(unix: httpx.Client, plane: FakePlane) -> None:
    answer = unix.post(f"{ONE}/exec", content=b"x" * (17 << 20))
    assert (answer.status_code, plane.asked) == (413, [])


def test_an_exec_streams_its_output_and_then_its_exit_code(unix: httpx.Client, plane: FakePlane) -> None:
    body = {
        "command": ["cat"],
        "stdin": base64.b64encode(b"in\0").decode(),
        "timeout": 1.5,
        "env": {"A": "b"},
        "workingDir": "/tmp",
    }
    plane.stream.code = 3
    with unix.stream("POST", f"{ONE}/exec", json=body) as answer:
        lines = answer.iter_lines()
        plane.stream.send(b"one\xff")
        first = json.loads(next(lines))
        assert (first["stream"], base64.b64decode(first["data"])) == ("stdout", b"one\xff")
        plane.stream.send(b"two", "stderr")
        assert json.loads(next(lines))["stream"] == "stderr"
        plane.stream.end()
        assert [json.loads(line) for line in lines] == [{"exitCode": 3}]
    assert plane.asked == [("exec", WEB, ExecRequest(("cat",), b"in\0", 1.5, {"A": "b"}, "/tmp"))]


def test_an_exec_without_options_has_no_timeout_and_no_input(unix: httpx.Client, plane: FakePlane) -> None:
    plane.stream.end()
    unix.post(f"{ONE}/exec", json={"command": ["true"]})
    assert plane.asked == [("exec", WEB, ExecRequest(("true",)))]


def test_an_exec_that_fails_on_its_way_says_why(
    unix: httpx.Client, plane: FakePlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise EngineTimeoutError("the engine does not answer")

    monkeypatch.setattr(plane.stream, "exit_code", fail)
    plane.stream.end()
    answer = unix.post(f"{ONE}/exec", json={"command": ["true"]})
    assert json.loads(answer.text) == {"error": "the engine does not answer"}


def test_an_exec_that_cannot_start_is_refused(unix: httpx.Client, plane: FakePlane) -> None:
    plane.failure = UsageError("it is suspended; resume it first")
    assert unix.post(f"{ONE}/exec", json={"command": ["true"]}).status_code == 409


def test_a_client_that_hangs_up_ends_its_exec(unix: httpx.Client, plane: FakePlane) -> None:
    with unix.stream("POST", f"{ONE}/exec", json={"command": ["sleep", "9"]}) as answer:
        assert answer.status_code == 200
        assert not plane.stream.closed.is_set()
    assert plane.stream.closed.wait(10)


def test_logs_are_raw_and_followed(unix: httpx.Client, plane: FakePlane) -> None:
    with unix.stream("GET", f"{ONE}/logs", params={"tail": 5, "follow": "true"}) as answer:
        chunks = answer.iter_raw()
        plane.stream.send(b"\x00\xffone\n")
        assert next(chunks) == b"\x00\xffone\n"
        plane.stream.send(b"two\n")
        assert next(chunks) == b"two\n"
    assert plane.stream.closed.wait(10)
    assert plane.asked == [("logs", WEB, 5, True)]


def test_logs_that_are_not_followed_end(unix: httpx.Client, plane: FakePlane) -> None:
    plane.stream.send(b"all")
    plane.stream.end()
    assert unix.get(f"{ONE}/logs").content == b"all"
    assert plane.asked == [("logs", WEB, None, False)]


def test_streams_beyond_the_bound_are_refused_and_the_rest_goes_on(unix: httpx.Client, plane: FakePlane) -> None:
    opened = threading.Semaphore(0)
    statuses: list[int] = []

    def follow() -> None:
        with unix.stream("GET", f"{ONE}/logs", params={"follow": "true"}) as answer:
            statuses.append(answer.status_code)
            opened.release()
            answer.read()

    threads = [threading.Thread(target=follow) for _ in range(64)]
    for thread in threads:
        thread.start()
    try:
        for _ in threads:
            assert opened.acquire(timeout=20)
        assert statuses == [200] * 64
        refused = unix.post(f"{ONE}/exec", json={"command": ["true"]})
        assert (refused.status_code, refused.json()["reason"]) == (503, "Busy")
        assert ("exec", WEB, ExecRequest(("true",))) not in plane.asked
        assert unix.get("/healthz").status_code == 200
        assert unix.post(f"{ONE}/restart").status_code == 200
    finally:
        for _ in threads:
            plane.stream.end()
        for thread in threads:
            thread.join()
    plane.stream.end()
    assert unix.post(f"{ONE}/exec", json={"command": ["true"]}).status_code == 200
