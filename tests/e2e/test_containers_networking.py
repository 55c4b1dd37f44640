"""Bridges of containers: reachable on 127.0.0.1 alone, closed to each other, gone with the last who needs them."""

from __future__ import annotations

import socket
import urllib.request
from functools import partial
from typing import Any

import pytest

from controller.runtime.docker import firewall
from tests.e2e.containers import LABEL, Outside, row, sh
from tests.e2e.daemon import RunningDaemon

pytestmark = pytest.mark.docker

SERVE = ["sh", "-c", "echo served by $NAME > index.html; exec httpd -f -p 8000"]


def bridged(name: str, port: int | None = None, **spec: Any) -> dict[str, Any]:
    ports = [] if port is None else [{"containerPort": 8000, "hostPort": port}]
    env = [{"name": "NAME", "value": name}]
    return {"command": SERVE, "env": env, "network": {"mode": "bridge", "ports": ports}, **spec}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetched(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
            text: str = answer.read().decode()
            return text
    except OSError:
        return ""


def serves(port: int, text: str) -> bool:
    return fetched(port) == text


def networks(outside: Outside) -> list[dict[str, Any]]:
    instance = (outside.daemon.state_dir / "instance").read_text().strip()
    found: list[dict[str, Any]] = outside.client.api.networks(filters={"label": f"{LABEL}={instance}"})
    return found


def address(outside: Outside, name: str) -> str:
    (network,) = outside.inspect(name)["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


def test_ports_answer_on_loopback_and_the_bridge_goes_with_its_last_sandbox(
    daemon: RunningDaemon, outside: Outside
) -> None:
    port = free_port()
    daemon.declare("web", **bridged("web", port))
    daemon.declare("peer", **bridged("peer"))
    daemon.wait_ready("web", "peer")
    daemon.until(partial(serves, port, "served by web\n"), "the port answers")
    bindings = outside.inspect("web")["NetworkSettings"]["Ports"]["8000/tcp"]
    assert [(each["HostIp"], each["HostPort"]) for each in bindings] == [("127.0.0.1", str(port))]
    (network,) = networks(outside)
    assert network["Name"].startswith("sandkeeper-default-")
    web, gap = address(outside, "web"), firewall.gap(network["Options"]["com.docker.network.bridge.name"])
    shown = row(daemon.status("peer"), "network")
    assert (shown["state"], shown.get("reason", "")) == ("Unenforceable" if gap else "Enforced", gap)
    if not gap:
        asked = daemon.cli("exec", "peer", "--", "wget", "-q", "-T", "2", "-O", "-", f"http://{web}:8000", check=False)
        assert asked.returncode != 0, "one container of the namespace reaches another"
    assert sh(daemon, "web", "wget -q -O - http://127.0.0.1:8000") == "served by web\n"
    daemon.undeclare("web")
    daemon.wait_gone("web")
    assert len(networks(outside)) == 1
    daemon.undeclare("peer")
    daemon.wait_gone("peer")
    daemon.until(lambda: networks(outside) == [], "the network is removed", 40)


def test_one_that_holds_a_port_is_replaced_and_comes_back_where_the_new_one_fails(
    shared: RunningDaemon, outside_shared: Outside
) -> None:
    port = free_port()
    shared.declare("port", **bridged("first", port))
    shared.wait_ready("port")
    shared.until(partial(serves, port, "served by first\n"), "the port answers")
    shared.declare("port", **bridged("second", port))
    shared.until(partial(serves, port, "served by second\n"), "the new one answers")
    shared.wait_ready("port")
    good = outside_shared.inspect("port")["Id"]
    shared.declare("port", **{**bridged("third", port), "command": ["/no/such/program"]})
    shared.wait_condition("port", "Degraded", "True", "ReplaceFailed")
    shared.wait_ready("port")
    shared.until(partial(serves, port, "served by second\n"), "the old one answers again")
    assert outside_shared.only_of("port")["Id"] == good
    assert shared.status("port")["restarts"] == 0


def test_a_port_that_somebody_has_is_said_and_taken_once_it_is_free(shared: RunningDaemon) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        shared.declare("blocked", **bridged("blocked", port))
        shared.wait_condition("blocked", "Degraded", "True")
        message = shared.condition("blocked", "Degraded")["message"]
        assert str(port) in message
        assert shared.status("blocked")["phase"] in ("Pending", "Creating")
    shared.cli("reconcile", "blocked")
    shared.wait_ready("blocked")
    shared.until(partial(serves, port, "served by blocked\n"), "the port answers")
