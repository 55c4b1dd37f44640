"""One bridge for each namespace: made when needed, closed between sandboxes, gone when nobody needs it."""

from __future__ import annotations

import shutil
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient

from controller.model.errors import ConflictError, NotOwnedError
from controller.model.identity import LABEL_INSTANCE, Key, sandbox_key
from controller.model.observed import Assurance, Observed
from controller.runtime.docker import firewall
from tests.docker_runtime.bench import Bench, desired, until

pytestmark = pytest.mark.docker
BRIDGED: dict[str, Any] = {"network": {"mode": "bridge"}}
SERVE: dict[str, Any] = {"command": ["sh", "-c", "echo served > index.html; exec httpd -f -p 8000"]}


def nobody(key: Key) -> bool:
    return False


@pytest.fixture
def name(bench: Bench) -> str:
    """The network of the default namespace."""
    return bench.runtime._networks.name_of("default")


@pytest.fixture
def bridge(bench: Bench) -> str:
    """The interface of the default namespace's network."""
    return bench.runtime._networks.bridge_of("default")


def networks(bench: Bench, raw: DockerClient) -> list[str]:
    found: list[dict[str, Any]] = raw.api.networks(filters={"label": f"{LABEL_INSTANCE}={bench.instance}"})
    return [network["Name"] for network in found]


def test_it_is_made_once_for_a_namespace_and_is_ours(bench: Bench, raw: DockerClient, name: str, bridge: str) -> None:
    bench.run("one", BRIDGED)
    bench.run("two", BRIDGED)
    assert networks(bench, raw) == [name]
    made = raw.api.inspect_network(name)
    assert len(made["Containers"]) == 2
    assert made["Options"]["com.docker.network.bridge.enable_icc"] == "false"
    assert made["Options"]["com.docker.network.bridge.name"] == bridge
    assert len(bridge) <= 15


def test_a_sandbox_without_a_network_makes_none(bench: Bench, raw: DockerClient) -> None:
    bench.run()
    assert networks(bench, raw) == []


def test_a_published_port_answers_on_the_loopback_address(bench: Bench) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    network = {"mode": "bridge", "ports": [{"containerPort": 8000, "hostPort": port}]}
    bench.run(spec={"network": network} | SERVE)
    assert until(lambda: fetched(port)) == "served\n"


def fetched(port: int, address: str = "127.0.0.1") -> str | None:
    try:
        with urllib.request.urlopen(f"http://{address}:{port}/", timeout=2) as answer:
            text: str = answer.read().decode()
            return text
    except OSError:
        return None


@pytest.mark.root
def test_link_local_addresses_are_blocked_for_as_long_as_it_is_there(bench: Bench, bridge: str) -> None:
    seen = bench.run(spec=BRIDGED)
    assert firewall.is_blocked(bridge)
    bench.runtime.remove(seen.id)
    bench.another().collect_garbage(nobody)
    assert not firewall.is_blocked(bridge)


@pytest.mark.root
def test_a_start_blocks_them_again(bench: Bench, bridge: str) -> None:
    """A reboot takes the rule, and nothing is prepared for what only starts again."""
    seen = bench.run(spec=BRIDGED)
    bench.runtime.stop(seen.id, 0)
    firewall.unblock_link_local(bridge)
    bench.runtime.start(seen.id)
    assert firewall.is_blocked(bridge)


@pytest.mark.root
def test_the_rule_of_a_network_removed_from_outside_is_swept(
    bench: Bench, raw: DockerClient, name: str, bridge: str
) -> None:
    bench.runtime.prepare(desired("web", BRIDGED))
    raw.api.remove_network(name)
    assert firewall.is_blocked(bridge)
    bench.runtime.collect_garbage(nobody)
    assert not firewall.is_blocked(bridge)


@pytest.mark.alone
def test_two_sandboxes_of_one_namespace_do_not_reach_each_other(bench: Bench, raw: DockerClient, bridge: str) -> None:
    server = bench.run("server", BRIDGED | SERVE)
    client = bench.run("client", BRIDGED)
    if gap := firewall.gap(bridge):
        pytest.skip(gap)
    address = address_of(raw, server)
    assert until(lambda: fetched(8000, address)) == "served\n"
    assert bench.sh(client.id, f"wget -q -T 1 -O - http://{address}:8000/", timeout=5)[0] != 0


def address_of(raw: DockerClient, seen: Observed) -> str:
    (network,) = raw.api.inspect_container(seen.id)["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


@pytest.mark.alone
def test_the_contract_says_how_closed_it_is(bench: Bench, bridge: str) -> None:
    seen = bench.run(spec=BRIDGED)
    (row,) = [row for row in bench.runtime.contract(seen, desired("web", BRIDGED).spec) if row.limit == "network"]
    gap = firewall.gap(bridge)
    assert (row.state, row.reason) == (Assurance.UNENFORCEABLE if gap else Assurance.ENFORCED, gap)
    assert row.value == "bridge"


def test_without_root_the_contract_says_what_is_missing(
    bench: Bench, bridge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "only root" in firewall.block_link_local(bridge)
    assert "link-local metadata is not blocked" in firewall.gap(bridge)


def test_one_in_use_is_kept_though_its_sandbox_stands(bench: Bench, raw: DockerClient, name: str) -> None:
    seen = bench.run(spec=BRIDGED)
    bench.runtime.stop(seen.id, 0)
    bench.another().collect_garbage(nobody)
    assert networks(bench, raw) == [name]
    bench.runtime.start(seen.id)


def test_one_that_was_prepared_is_kept_while_its_sandbox_is_wanted(bench: Bench, raw: DockerClient, name: str) -> None:
    bench.runtime.prepare(desired("web", BRIDGED))
    bench.runtime.collect_garbage(lambda key: key.name == "web")
    assert networks(bench, raw) == [name]
    bench.runtime.collect_garbage(nobody)
    assert networks(bench, raw) == []


def test_those_that_are_wanted_no_more_are_not_remembered(bench: Bench, raw: DockerClient, name: str) -> None:
    for sandbox in ("one", "two"):
        bench.runtime.prepare(desired(sandbox, BRIDGED))
    bench.runtime.collect_garbage(lambda key: key.name == "two")
    assert bench.runtime._networks._users == {name: {sandbox_key("default", "two")}}
    raw.api.remove_network(name)
    bench.runtime.collect_garbage(nobody)
    assert (bench.runtime._networks._users, bench.runtime._networks._locks._locks) == ({}, {})


def test_one_that_nobody_uses_is_removed(bench: Bench, raw: DockerClient) -> None:
    bench.runtime.prepare(desired("web", BRIDGED))
    bench.another().collect_garbage(nobody)
    assert networks(bench, raw) == []


def test_garbage_of_others_is_not_ours_to_collect(bench: Bench, raw: DockerClient) -> None:
    other = raw.api.create_network("somebodys", labels={LABEL_INSTANCE: "somebody-else"})
    bench.runtime.collect_garbage(nobody)
    assert raw.api.inspect_network(other["Id"])["Name"] == "somebodys"
    raw.api.remove_network(other["Id"])


@pytest.fixture
def impostor(raw: DockerClient, name: str) -> Iterator[str]:
    made = raw.api.create_network(name, labels={LABEL_INSTANCE: "somebody-else"})
    yield str(made["Id"])
    raw.api.remove_network(made["Id"])


def test_a_network_under_our_name_that_is_not_ours_is_left_alone(bench: Bench, impostor: str) -> None:
    with pytest.raises(NotOwnedError, match="left alone"):
        bench.runtime.prepare(desired("web", BRIDGED))


def test_one_removed_from_outside_says_what_to_do(bench: Bench, raw: DockerClient, name: str) -> None:
    seen = bench.run(spec=BRIDGED)
    bench.runtime.stop(seen.id, 0)
    raw.api.remove_network(name)
    with pytest.raises(ConflictError, match="removed from outside"):
        bench.runtime.start(seen.id)
    assert networks(bench, raw) == []


@pytest.mark.parametrize("path", ["", ":", ".", ":{}", "{}:", "{}::/bin"])
def test_a_packet_filter_is_never_taken_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    planted = tmp_path / "iptables"
    planted.write_text("#!/bin/sh\n")
    planted.chmod(0o755)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", path.format(tmp_path / "elsewhere"))
    found = shutil.which("iptables", path=firewall._search_path())
    assert found is None or Path(found).parent in (Path("/usr/sbin"), Path("/sbin"), Path("/bin"))
