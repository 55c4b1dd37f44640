"""What does not carry our label is never touched, whatever its name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from docker import DockerClient

from controller.model.errors import ConflictError, NotOwnedError
from controller.model.identity import LABEL_INSTANCE, Owner, instance_name, sandbox_key
from controller.model.spec import Limits
from controller.runtime.protocol import ExecRequest
from tests.docker_runtime.bench import Bench, desired

pytestmark = pytest.mark.docker
WEB = sandbox_key("default", "web")


@pytest.fixture
def impostor(bench: Bench, raw: DockerClient) -> Iterator[str]:
    """A container under the name that we would take, with another instance's labels."""
    name = instance_name(bench.instance, WEB, "a")
    made = raw.api.create_container(
        "busybox:latest",
        ["sleep", "600"],
        name=name,
        labels={LABEL_INSTANCE: "somebody-else"},
        host_config=raw.api.create_host_config(network_mode="none", init=True),
    )
    raw.api.start(made["Id"])
    yield str(made["Id"])
    assert raw.api.inspect_container(made["Id"])["State"]["Running"]
    raw.api.remove_container(made["Id"], force=True)


def test_an_impostor_is_not_seen(bench: Bench, impostor: str) -> None:
    assert bench.runtime.inspect(WEB) == ()
    assert list(bench.runtime.list()) == []


def test_an_impostor_is_not_replaced(bench: Bench, impostor: str) -> None:
    wanted = desired()
    owner = Owner(bench.instance, WEB, "0f0e4a9e-30ab-4d4c-95a3-3b5a4d2b0a11", 1, wanted.spec_hash, "a")
    with pytest.raises(NotOwnedError, match="is not ours"):
        bench.runtime.create(wanted, owner)


def test_nothing_is_done_to_an_impostor(bench: Bench, impostor: str) -> None:
    runtime = bench.runtime
    for change in (
        lambda: runtime.start(impostor),
        lambda: runtime.stop(impostor, 0),
        lambda: runtime.kill(impostor),
        lambda: runtime.pause(impostor),
        lambda: runtime.unpause(impostor),
        lambda: runtime.update(impostor, Limits(memory=64 << 20)),
        lambda: runtime.remove(impostor),
        lambda: runtime.exec(impostor, ExecRequest(("true",))),
        lambda: runtime.logs(impostor),
    ):
        with pytest.raises(NotOwnedError, match="left alone"):
            change()


def test_a_name_taken_by_ourselves_means_look_again(bench: Bench) -> None:
    seen = bench.run()
    with pytest.raises(ConflictError):
        bench.runtime.create(desired(), seen.owner)
    assert bench.look("web", seen.id).pid == seen.pid


def test_two_instances_on_one_engine_do_not_meet(bench: Bench) -> None:
    seen = bench.run()
    other = bench.another(instance="another-instance")
    assert list(other.list()) == []
    assert other.inspect(WEB) == ()
    with pytest.raises(NotOwnedError):
        other.remove(seen.id)
