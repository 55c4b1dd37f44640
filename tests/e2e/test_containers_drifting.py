"""Containers that somebody changes behind the daemon's back are repaired; what is not ours is never touched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from docker import DockerClient
from docker.errors import NotFound

from controller.model.identity import instance_name, sandbox_key
from tests.e2e.containers import LABEL, InForce, Outside, metric, sh, told
from tests.e2e.daemon import RunningDaemon

pytestmark = pytest.mark.docker


def drifts(daemon: RunningDaemon, field: str) -> float:
    return metric(daemon, "sandkeeper_drift_detected_total", field=field) or 0.0


def test_a_container_removed_by_hand_is_made_again_on_its_workspace(
    shared: RunningDaemon, outside_shared: Outside, docker_client: DockerClient
) -> None:
    shared.declare("removed")
    shared.wait_ready("removed")
    sh(shared, "removed", "touch /workspace/file")
    old, before = outside_shared.inspect("removed")["Id"], drifts(shared, "instance")
    docker_client.api.remove_container(old, force=True)
    outside_shared.wait_replaced("removed", old)
    shared.wait_ready("removed")
    assert sh(shared, "removed", "ls /workspace") == "file\n"
    assert drifts(shared, "instance") == before + 1
    assert "was removed from outside" in told(shared, "removed", "Created")[-1]
    assert len(outside_shared.of("removed")) == 1


def test_a_container_stopped_by_hand_is_started_by_its_policy(
    shared: RunningDaemon, outside_shared: Outside, docker_client: DockerClient
) -> None:
    shared.declare("stopped")
    shared.wait_ready("stopped")
    before = outside_shared.identity("stopped")
    docker_client.api.stop(before[0], timeout=1)
    shared.until(lambda: shared.status("stopped")["restarts"] == 1, "it was started again")
    shared.wait_ready("stopped")
    assert outside_shared.inspect("stopped")["Id"] == before[0]
    assert shared.status("stopped")["lastTermination"]["cause"].startswith(("ended by SIG", "exited with status"))


def test_a_container_paused_by_hand_is_thawed(
    shared: RunningDaemon, outside_shared: Outside, docker_client: DockerClient
) -> None:
    shared.declare("paused")
    shared.wait_ready("paused")
    before, counted = outside_shared.identity("paused"), drifts(shared, "state")
    docker_client.api.pause(before[0])
    shared.until(lambda: drifts(shared, "state") == counted + 1, "the drift is counted")
    shared.wait_ready("paused")
    assert outside_shared.identity("paused") == before
    assert not outside_shared.is_in("paused", "paused")
    assert told(shared, "paused", "Unpaused") == ["it was paused from outside"]


@pytest.mark.parametrize(
    ("field", "update", "shown"),
    [
        ("memory", {"mem_limit": "200m", "memswap_limit": "200m"}, "memory limit was changed from outside to 200Mi"),
        ("cpu", {"cpu_quota": 50000, "cpu_period": 100000}, "cpu limit was changed from outside to 500m"),
    ],
)
def test_a_limit_changed_by_hand_is_put_back(
    shared: RunningDaemon,
    outside_shared: Outside,
    docker_client: DockerClient,
    field: str,
    update: dict[str, Any],
    shown: str,
) -> None:
    name = f"resized-{field}"
    shared.declare(name, resources={"limits": {"memory": "64Mi", "cpu": "300m", "pids": 20}})
    shared.wait_ready(name)
    before, counted = outside_shared.identity(name), drifts(shared, field)
    docker_client.api.update_container(before[0], **update)
    shared.until(lambda: drifts(shared, field) == counted + 1, "the drift is counted")
    outside_shared.wait_in_force(name, InForce(64 << 20, 300, 20))
    assert outside_shared.identity(name) == before
    assert shown in told(shared, name, "Updated")[-1]


def test_a_container_renamed_by_hand_is_still_known(
    shared: RunningDaemon, outside_shared: Outside, docker_client: DockerClient
) -> None:
    shared.declare("renamed")
    shared.wait_ready("renamed")
    before = outside_shared.identity("renamed")
    docker_client.api.rename(before[0], "somebody-elses-idea")
    shared.cli("reconcile", "renamed")
    shared.wait_ready("renamed")
    assert [info["Id"] for info in outside_shared.of("renamed")] == [before[0]]
    shared.undeclare("renamed")
    shared.wait_gone("renamed")
    assert outside_shared.of("renamed") == []


@pytest.fixture
def impostors(docker_client: DockerClient) -> Iterator[list[str]]:
    """Containers made by somebody else, removed at the end."""
    made: list[str] = []
    yield made
    for each in made:
        docker_client.api.remove_container(each, force=True)


@pytest.mark.parametrize("labels", [{}, {LABEL: "another-instance", "sandkeeper.dev/name": "taken"}])
def test_somebody_elses_container_under_our_name_is_left_alone(
    daemon: RunningDaemon,
    outside: Outside,
    docker_client: DockerClient,
    impostors: list[str],
    labels: dict[str, str],
) -> None:
    instance = (daemon.state_dir / "instance").read_text().strip()
    name = instance_name(instance, sandbox_key("default", "taken"), "a")
    made = docker_client.api.create_container("busybox:latest", ["sleep", "1000"], name=name, labels=labels)
    impostors.append(made["Id"])
    docker_client.api.start(made["Id"])
    before = docker_client.api.inspect_container(made["Id"])["State"]["Pid"]
    daemon.declare("taken")
    daemon.wait_condition("taken", "Ready", "False", "NotOwned")
    message = daemon.condition("taken", "Ready")["message"]
    assert name in message
    assert "remove or rename it" in message
    assert message in daemon.cli("explain", "taken").stdout
    assert outside.containers() == []
    daemon.undeclare("taken")
    daemon.wait_gone("taken")
    info = docker_client.api.inspect_container(made["Id"])
    assert (info["State"]["Running"], info["State"]["Pid"]) == (True, before)
    daemon.declare("taken")
    daemon.wait_condition("taken", "Degraded", "True", "NotOwned")
    docker_client.api.rename(made["Id"], f"moved-{made['Id'][:8]}")
    daemon.cli("reconcile", "taken")
    daemon.wait_ready("taken")
    assert docker_client.api.inspect_container(made["Id"])["State"]["Pid"] == before


def test_a_container_that_neither_manifest_nor_store_knows_is_shown_and_goes_when_somebody_says_so(
    daemon: RunningDaemon, outside: Outside, docker_client: DockerClient
) -> None:
    daemon.declare("orphan")
    daemon.wait_ready("orphan")
    orphan = outside.inspect("orphan")["Id"]
    daemon.kill()
    daemon.undeclare("orphan")
    for state in daemon.state_dir.glob("state.db*"):
        state.unlink()
    daemon.start()
    daemon.wait_condition("orphan", "Ready", "False", "ManifestUnknown")
    assert outside.inspect("orphan")["Id"] == orphan
    daemon.cli("delete", "orphan")
    daemon.until(lambda: outside.containers() == [], "the orphan is gone", 40)
    with pytest.raises(NotFound):
        docker_client.api.inspect_container(orphan)
