"""A secret reaches the process that needs it and nothing else that anybody can read."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from tests.e2e.containers import Outside, counted, told
from tests.e2e.daemon import RunningDaemon

pytestmark = pytest.mark.docker

VALUE = f"very-private-{secrets.token_hex(8)}"
FROM_SECRET = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}}]
LOUD = ["sh", "-c", "echo the token is $TOKEN; exit 3"]


@pytest.fixture
def keeper(docker_host: str, busybox_image: str, tmp_path: Path) -> Iterator[RunningDaemon]:
    """A daemon with one secret."""
    folder = tmp_path / "secrets" / "api"
    folder.mkdir(parents=True, mode=0o700)
    folder.parent.chmod(0o700)
    (folder / "token").write_text(f"{VALUE}\n")
    (folder / "token").chmod(0o600)
    with RunningDaemon(docker_host, "--secrets-dir", str(folder.parent)) as running:
        yield running


@pytest.fixture
def keeping(docker_client: DockerClient, keeper: RunningDaemon) -> Outside:
    """Its containers as somebody else sees them."""
    return Outside(docker_client, keeper)


def test_a_secret_is_in_the_containers_environment_and_nowhere_else(keeper: RunningDaemon) -> None:
    keeper.declare("user", env=FROM_SECRET)
    keeper.declare("loud", env=FROM_SECRET, command=LOUD, restartPolicy="Never")
    keeper.wait_ready("user")
    keeper.wait_condition("loud", "Finished", "True")
    inside = keeper.cli("exec", "user", "--", "sh", "-c", "echo $TOKEN")
    assert inside.stdout == f"{VALUE}\n"
    assert VALUE in keeper.cli("logs", "loud").stdout, "the sandbox's own words are its own"
    keeper.declare("user", env=FROM_SECRET, command=["sleep", "1234"])
    keeper.until(lambda: bool(told(keeper, "user", "Replacing")), "it is replaced")
    keeper.wait_ready("user")
    keeper.declare("user", env=FROM_SECRET, command=["/no/such/program"])
    keeper.wait_condition("user", "Degraded", "True", "ReplaceFailed")
    keeper.declare("user", env=FROM_SECRET, command=["sleep", "12"])
    shown = {
        "get": keeper.cli("get", "-A", "-o", "yaml").stdout + keeper.cli("get", "-o", "json").stdout,
        "wide": keeper.cli("get", "-A", "-o", "wide").stdout,
        "describe": keeper.cli("describe", "user").stdout,
        "explain": keeper.cli("explain", "user").stdout + keeper.cli("explain", "loud").stdout,
        "events": keeper.cli("events", "-A", "-o", "json").stdout,
        "plan": keeper.cli("plan", check=False).stdout,
        "top": keeper.cli("top").stdout,
        "metrics": keeper.metrics(),
        "api": json.dumps(keeper.call("GET", "/api/v1/sandboxes")),
        "log": keeper.logged(),
        "store": b"".join(file.read_bytes() for file in keeper.state_dir.glob("state.db*")).decode(errors="replace"),
    }
    assert "the token is [redacted]" in keeper.cli("describe", "loud").stdout
    assert [where for where, text in shown.items() if VALUE in text] == []


def test_a_daemon_started_since_knows_a_secret_when_it_sees_it(keeper: RunningDaemon) -> None:
    keeper.declare("loud", env=FROM_SECRET, command=LOUD, restartPolicy="Never")
    keeper.wait_condition("loud", "Finished", "True")
    keeper.kill()
    keeper.start()
    keeper.cli("restart", "loud")
    keeper.until(lambda: counted(keeper, "loud", "Ended") == 2, "it has ended again")
    assert "the token is [redacted]" in keeper.cli("describe", "loud").stdout
    assert VALUE not in keeper.cli("get", "-o", "json").stdout


def test_a_secret_is_in_no_label_of_a_container(keeper: RunningDaemon, keeping: Outside) -> None:
    keeper.declare("user", env=FROM_SECRET)
    keeper.wait_ready("user")
    info = keeping.inspect("user")
    assert f"TOKEN={VALUE}" in info["Config"]["Env"]
    assert VALUE not in json.dumps(info["Config"]["Labels"])
    del info["Config"]["Env"]
    assert VALUE not in json.dumps(info)


def test_a_missing_secret_is_named_and_waited_for(keeper: RunningDaemon, tmp_path: Path) -> None:
    reference = {"name": "api", "key": "other"}
    keeper.declare("user", env=[{"name": "TOKEN", "valueFrom": {"secretKeyRef": reference}}])
    keeper.wait_condition("user", "Ready", "False", "SecretUnavailable")
    message = keeper.condition("user", "Ready")["message"]
    assert "api/other does not exist" in message
    assert str(tmp_path / "secrets" / "api" / "other") in message
    (tmp_path / "secrets" / "api" / "other").write_text("late")
    (tmp_path / "secrets" / "api" / "other").chmod(0o600)
    keeper.cli("reconcile", "user")
    keeper.wait_ready("user")
    assert keeper.cli("exec", "user", "--", "sh", "-c", "echo $TOKEN").stdout == "late\n"
