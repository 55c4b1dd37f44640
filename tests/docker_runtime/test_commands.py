"""What a container runs, and what is said where it cannot."""

from __future__ import annotations

import pytest
from docker import DockerClient

from controller.model.errors import CannotRunError
from controller.model.observed import InstanceState
from tests.docker_runtime.bench import Bench

pytestmark = pytest.mark.docker


def test_without_a_command_it_stays_up_and_stops_at_once(bench: Bench) -> None:
    seen = bench.run()
    assert seen.state is InstanceState.RUNNING
    started = bench.clock.monotonic()
    bench.runtime.stop(seen.id, 10)
    assert bench.clock.monotonic() - started < 2
    assert bench.look("web", seen.id).state is InstanceState.EXITED


def test_command_and_args_are_what_runs(bench: Bench) -> None:
    seen = bench.run(spec={"command": ["sh", "-c", 'echo "$0 $1"; exit 3'], "args": ["one", "two"]})
    ended = bench.ended(seen)
    assert (ended.code, ended.signal) == (3, None)
    assert b"".join(bench.runtime.logs(seen.id)) == b"one two\n"


def test_a_command_that_is_not_there_ends_with_127(bench: Bench) -> None:
    seen = bench.run(spec={"command": ["/no/such/command"]})
    assert bench.ended(seen).code == 127


def test_a_command_that_the_engine_cannot_start_is_terminal(bench: Bench, raw: DockerClient) -> None:
    """With the engine's init it starts and exits 127; an engine without one refuses the start."""
    seen = bench.create()
    labels = raw.api.inspect_container(seen.id)["Config"]["Labels"]
    bench.runtime.remove(seen.id)
    host = raw.api.create_host_config(init=False, network_mode="none")
    other = raw.api.create_container("busybox:latest", ["/no/such"], name=seen.name, labels=labels, host_config=host)
    with pytest.raises(CannotRunError, match="/no/such"):
        bench.runtime.start(other["Id"])


def test_environment_and_secrets_reach_the_command_and_nothing_else(bench: Bench, raw: DockerClient) -> None:
    folder = bench.secrets / "api"
    folder.mkdir(mode=0o700)
    (folder / "token").touch(0o600)
    (folder / "token").write_text("hunter2\n")
    token = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}}
    seen = bench.run(spec={"env": [{"name": "LANG", "value": "C.UTF-8"}, {"name": "EMPTY"}, token]})
    assert bench.sh(seen.id, 'echo "$LANG/$EMPTY/$TOKEN"')[1] == "C.UTF-8//hunter2\n"
    labels = raw.api.inspect_container(seen.id)["Config"]["Labels"]
    assert "hunter2" not in str(labels)
    assert "hunter2" not in str(seen)
