"""The listening sockets and the server's life."""

from __future__ import annotations

import os
import re
import socket
import stat
import threading
from pathlib import Path

import httpx
import pytest

from controller.model.errors import StateError, UsageError
from controller.report.http import HttpConfig, HttpServer
from controller.report.metrics import Metrics
from controller.report.sockets import listen_tcp, listen_unix
from controller.report.usage_history import UsageHistory
from controller.unix_address import unix_address
from tests.report.plane import FakePlane
from tests.report.values import view


def make_server(config: HttpConfig, plane: FakePlane | None = None) -> HttpServer:
    history = UsageHistory()
    return HttpServer(plane or FakePlane([view()]), Metrics("0", ("docker",), history), history, config)


def get(path: Path, url: str = "/healthz") -> httpx.Response:
    with unix_address(path) as address, httpx.Client(transport=httpx.HTTPTransport(uds=address)) as client:
        return client.get(f"http://localhost{url}")


def test_a_taken_port_names_its_holder() -> None:
    with listen_tcp("127.0.0.1:0") as holder:
        port = holder.getsockname()[1]
        with pytest.raises(
            UsageError, match=f"port {port} is taken by .* \\(pid {os.getpid()}\\); end that process or"
        ):
            listen_tcp(f"127.0.0.1:{port}")


@pytest.mark.parametrize("listen", ["9464", "localhost", "127.0.0.1:http", "127.0.0.1:70000", "::1:9464", "", ":"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(UsageError, match=re.escape("write 127.0.0.1:9464, [::1]:9464 or :9464")):
        listen_tcp(listen)


@pytest.mark.parametrize("listen", ["203.0.113.7:0", "no.such.host.invalid:0"])
def test_an_address_of_another_machine_is_refused(listen: str) -> None:
    with pytest.raises(UsageError, match="of this machine"):
        listen_tcp(listen)


def test_ipv6_is_served() -> None:
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    server = make_server(HttpConfig("[::1]:0"))
    server.start()
    try:
        assert httpx.get(f"{server.url}/healthz").status_code == 200
    finally:
        server.stop()


def test_on_all_interfaces_any_name_is_served() -> None:
    server = make_server(HttpConfig(":0"))
    server.start()
    try:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/healthz", headers={"host": "sandkeeper.example"}).status_code == 200
    finally:
        server.stop()


def test_the_unix_socket_is_private(tmp_path: Path) -> None:
    path = tmp_path / "run" / "sandkeeper.sock"
    with listen_unix(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_path_longer_than_an_address_is_served(tmp_path: Path) -> None:
    path = tmp_path.joinpath(*["a-rather-long-folder-name"] * 6) / "run" / "sandkeeper.sock"
    server = make_server(HttpConfig("", path))
    server.start()
    try:
        assert len(str(path)) > 107
        assert get(path).status_code == 200
        assert server.url == ""
    finally:
        server.stop()


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "sandkeeper.sock"
    listen_unix(path).close()
    assert path.exists()
    with listen_unix(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_on_which_somebody_answers_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "sandkeeper.sock"
    with listen_unix(path):
        with pytest.raises(StateError, match="another process listens"):
            listen_unix(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "sandkeeper.sock"
    path.write_text("precious")
    with pytest.raises(StateError, match="in the way"):
        listen_unix(path)
    assert path.read_text() == "precious"


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(StateError, match="cannot listen on"):
        listen_unix(tmp_path / "run" / "sandkeeper.sock")


def test_a_start_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    with listen_tcp("127.0.0.1:0") as free:
        port = free.getsockname()[1]
    (tmp_path / "sock").write_text("in the way")
    failing = make_server(HttpConfig(f"127.0.0.1:{port}", tmp_path / "sock"))
    with pytest.raises(StateError):
        failing.start()
    listen_tcp(f"127.0.0.1:{port}").close()
    failing.stop()


def test_a_stopped_server_is_gone_and_may_be_stopped_again(tmp_path: Path) -> None:
    path = tmp_path / "sandkeeper.sock"
    server = make_server(HttpConfig("127.0.0.1:0", path))
    server.start()
    server.stop()
    server.stop()
    assert not path.exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/healthz")


def test_a_stop_ends_streams(tmp_path: Path) -> None:
    path, plane = tmp_path / "sandkeeper.sock", FakePlane([view()])
    server = make_server(HttpConfig("127.0.0.1:0", path), plane)
    server.start()
    watching, following = threading.Event(), threading.Event()

    def watch() -> None:
        url, transport = "http://localhost/api/v1/sandboxes?watch=true", httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport) as client, client.stream("GET", url) as answer:
            for _ in answer.iter_lines():
                watching.set()

    def follow() -> None:
        url = "http://localhost/api/v1/sandboxes/default/web/logs?follow=true"
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport) as client, client.stream("GET", url) as answer:
            following.set()
            answer.read()

    readers = [threading.Thread(target=watch), threading.Thread(target=follow)]
    for reader in readers:
        reader.start()
    assert watching.wait(10)
    assert following.wait(10)
    server.stop()
    for reader in readers:
        reader.join(10)
        assert not reader.is_alive()
    assert plane.stream.closed.is_set()
