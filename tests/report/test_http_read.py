"""What is served for reading, over real sockets."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import replace

import httpx
import pytest

from controller.model.identity import sandbox_key
from controller.report import watching
from controller.report.backend import Backend
from controller.report.listing import SandboxFeed
from controller.report.metrics import Metrics
from controller.report.usage_history import UsageHistory
from controller.report.watching import Watch
from tests.report.conftest import Served
from tests.report.plane import FakePlane
from tests.report.values import NOON, WEB, event, termination, usage, view

OTHER = sandbox_key("team", "worker")


def test_health_and_readiness_follow_the_daemon(tcp: httpx.Client, plane: FakePlane) -> None:
    assert (tcp.get("/healthz").status_code, tcp.get("/readyz").text) == (200, "ok\n")
    plane.set_info(alive=False, synced=False)
    assert tcp.get("/healthz").status_code == 503
    assert "first scan" in tcp.get("/readyz").text


def test_a_missing_engine_fails_neither_probe(tcp: httpx.Client, plane: FakePlane) -> None:
    down = replace(plane.daemon.runtimes[0], available=False)
    plane.set_info(runtimes=(down,))
    assert (tcp.get("/healthz").status_code, tcp.get("/readyz").status_code) == (200, 200)


def test_metrics_are_prometheus_text(tcp: httpx.Client) -> None:
    answer = tcp.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'sandbox_pids{namespace="default",sandbox="web"} 3\n' in answer.text


def test_the_daemon_tells_of_itself(tcp: httpx.Client) -> None:
    assert tcp.get("/api/v1/daemon").json()["instance"] == "3f1c"


def test_sandboxes_are_listed_with_their_history(tcp: httpx.Client, served: Served) -> None:
    history = served.history
    history.observe({WEB: usage(NOON - 2, cpu=1.0)})
    history.observe({WEB: usage(NOON, cpu=1.5)})
    listed = tcp.get("/api/v1/sandboxes").json()
    assert listed["version"] == 1
    assert [item["metadata"]["name"] for item in listed["items"]] == ["web"]
    assert listed["items"][0]["status"]["usage"]["cpuMillis"] == 250
    assert tcp.get("/api/v1/sandboxes/default/web").json() == listed["items"][0]


def test_one_namespace_can_be_picked(tcp: httpx.Client, plane: FakePlane) -> None:
    plane.change(view(), view(OTHER))
    items = tcp.get("/api/v1/sandboxes", params={"namespace": "team"}).json()["items"]
    assert [item["metadata"]["name"] for item in items] == ["worker"]


@pytest.mark.parametrize("path", ["/api/v1/sandboxes/default/gone", "/api/v1/nothing", "/nothing"])
def test_what_is_not_there_is_404(tcp: httpx.Client, unix: httpx.Client, path: str) -> None:
    for client in (tcp, unix):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "error" in answer.json()


def test_output_of_a_sandbox_is_shown_on_the_private_socket_alone(
    tcp: httpx.Client, unix: httpx.Client, plane: FakePlane
) -> None:
    plane.evidence = [termination()]
    for path in ("/api/v1/sandboxes", "/api/v1/sandboxes/default/web", "/api/v1/sandboxes/default/web/terminations"):
        assert "last line" in unix.get(path).text
        assert "last line" not in tcp.get(path).text


def test_events_are_picked_by_sandbox_namespace_and_id(tcp: httpx.Client, plane: FakePlane) -> None:
    keys = (WEB, OTHER, WEB)
    plane.kept_events = [replace(event(n, key=key), id=n + 1) for n, key in enumerate(keys)]

    def ids(**params: str | int) -> list[int]:
        return [item["id"] for item in tcp.get("/api/v1/events", params=params).json()["items"]]

    assert ids() == [1, 2, 3]
    assert ids(name="web") == [1, 3]
    assert ids(name="worker", namespace="team") == [2]
    assert ids(namespace="default") == [1, 3]
    assert ids(after=1) == [2, 3]
    assert ids(limit=1) == [3]
    assert tcp.get("/api/v1/events", params={"after": "soon"}).status_code == 400


def test_a_plan_is_lines(unix: httpx.Client) -> None:
    assert unix.get("/api/v1/plan").json() == {
        "operations": ["create sandbox default/web: it is declared"],
        "faults": [],
    }


def test_a_watcher_gets_the_list_at_once_and_after_each_change(unix: httpx.Client, plane: FakePlane) -> None:
    with unix.stream("GET", "/api/v1/sandboxes", params={"watch": "true"}) as answer:
        lines = answer.iter_lines()
        assert len(json.loads(next(lines))["items"]) == 1
        plane.change(view(), view(OTHER))
        changed = json.loads(next(lines))
        assert (changed["version"], len(changed["items"])) == (2, 2)


def test_a_watcher_of_events_gets_those_that_are_there_and_each_new_one(unix: httpx.Client, plane: FakePlane) -> None:
    def messages(line: str) -> list[str]:
        return [each["message"] for each in json.loads(line)["items"]]

    team_a = sandbox_key("team-a", "web")
    plane.kept_events = [replace(event(1), id=1), replace(event(2, key=team_a), id=2)]
    with unix.stream("GET", "/api/v1/events", params={"watch": "true", "namespace": "default"}) as answer:
        lines = answer.iter_lines()
        assert messages(next(lines)) == ["message 1"]
        plane.happen(replace(event(3, key=team_a), id=3))
        plane.happen(replace(event(4), id=4))
        assert messages(next(lines)) == ["message 4"]


def test_a_watcher_hears_that_the_daemon_lives_where_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("KEEP_ALIVE_SECONDS", 0.03), ("_LOOK_SECONDS", 0.01), ("_QUIET_SECONDS", 0.001)):
        monkeypatch.setattr(watching, name, seconds)
    plane, history = FakePlane([view()]), UsageHistory()
    watch = Watch(SandboxFeed(Backend(plane, Metrics("0", (), history), history, private=False), namespace=None))
    lines = iter(watch)
    assert next(lines).startswith(b'{"version":1,')
    assert [next(lines), next(lines)] == [b"\n", b"\n"]
    watch.close()
    assert list(lines) == []


def test_the_page_runs_nothing_but_its_own_script(tcp: httpx.Client) -> None:
    answer = tcp.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    for tag in ("script", "style"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        assert base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() in policy
    assert not re.search(r"(src|href|@import|innerHTML|https?:)", answer.text)


def test_browsers_are_kept_careful(tcp: httpx.Client) -> None:
    headers = tcp.get("/api/v1/sandboxes").headers
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9464", "127.0.0.1.evil.example"])
def test_a_name_that_was_made_to_resolve_here_is_refused(tcp: httpx.Client, host: str) -> None:
    assert tcp.get("/api/v1/sandboxes", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9464", "[::1]:9464"])
def test_this_machines_own_names_are_served(tcp: httpx.Client, host: str) -> None:
    assert tcp.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("verb", ["suspend", "resume", "restart", "reconcile", "delete", "restore", "exec"])
def test_nothing_can_be_done_over_tcp(tcp: httpx.Client, plane: FakePlane, verb: str) -> None:
    answer = tcp.post(f"/api/v1/sandboxes/default/web/{verb}", json={"command": ["id"]})
    assert answer.status_code == 403
    assert "unix socket" in answer.json()["error"]
    assert plane.asked == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/reconcile"),
        ("POST", "/api/v1/prune"),
        ("POST", "/api/v1/sandboxes"),
        ("DELETE", "/api/v1/sandboxes/default/web"),
        ("GET", "/api/v1/sandboxes/default/web/logs"),
    ],
)
def test_neither_is_anything_else_written_or_logs_read_over_tcp(
    tcp: httpx.Client, plane: FakePlane, method: str, path: str
) -> None:
    assert tcp.request(method, path).status_code in (403, 405)
    assert plane.asked == []


@pytest.mark.parametrize("path", ["/api/v1/plan", "/api/v1/sandboxes?watch=true", "/api/v1/events?watch=true"])
def test_what_costs_more_than_a_look_is_not_for_everybody(tcp: httpx.Client, plane: FakePlane, path: str) -> None:
    """A directory sandbox shares the machine's network, and could ask for it without end."""
    answer = tcp.get(path)
    assert answer.status_code == 403
    assert "unix socket" in answer.json()["error"]


def test_a_plan_that_hangs_starves_neither_probes_nor_reads(
    unix: httpx.Client, plane: FakePlane, served: Served
) -> None:
    let_go, entered = threading.Event(), threading.Semaphore(0)

    def hang() -> list[str]:
        entered.release()
        let_go.wait(20)
        return []

    def ask() -> None:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(served.socket)), timeout=30) as client:
            client.get("http://localhost/api/v1/plan")

    plane.plan_lines = hang
    asking = [threading.Thread(target=ask) for _ in range(12)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(8):
            assert entered.acquire(timeout=10)
        assert unix.get("/healthz").status_code == 200
        assert unix.get("/metrics").status_code == 200
        assert unix.get("/api/v1/sandboxes").status_code == 200
        assert not entered.acquire(blocking=False)
    finally:
        let_go.set()
        for thread in asking:
            thread.join()


def test_a_fault_of_ours_is_told_without_its_inside(unix: httpx.Client, plane: FakePlane) -> None:
    def fail() -> list[str]:
        raise ZeroDivisionError("inside")

    plane.plan_lines = fail
    answer = unix.get("/api/v1/plan")
    assert answer.status_code == 500
    assert "inside" not in answer.text
