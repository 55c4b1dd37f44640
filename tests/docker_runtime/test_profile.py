"""From a spec to the engine's own terms: what is said, what is never said. No engine needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from controller.model.errors import CannotRunError
from controller.model.identity import Owner
from controller.model.spec import Limits
from controller.runtime.cgroup.limits import cpu_quota
from controller.runtime.docker.labels import key_of, owner_of, template_of
from controller.runtime.docker.profile import Host, container_body, cpu_of, resources, sandbox_pids
from tests.docker_runtime.bench import desired

UID = "3b9f8a52-5a0c-4b4e-9a6e-0d5c1f1f2a10"
HOST = Host(workspace=f"/state/workspaces/{UID}", max_cpu=2000, runtimes=("runc", "runsc"), network="our-bridge")


def body_of(spec: Mapping[str, Any] | None = None, host: Host = HOST) -> dict[str, Any]:
    wanted = desired("web", spec)
    owner = Owner("instance-1", wanted.key, UID, 7, wanted.spec_hash, "b")
    return container_body(wanted, owner, host)


def host_config_of(spec: Mapping[str, Any] | None = None) -> dict[str, Any]:
    config: dict[str, Any] = body_of(spec)["HostConfig"]
    return config


def test_the_whole_host_config_of_a_plain_spec() -> None:
    assert host_config_of() == {
        "Privileged": False,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "ReadonlyRootfs": True,
        "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=16777216"},
        "Mounts": [
            {
                "Type": "bind",
                "Source": f"/state/workspaces/{UID}",
                "Target": "/workspace",
                "ReadOnly": False,
                "BindOptions": {"Propagation": "rprivate"},
            }
        ],
        "NetworkMode": "none",
        "PortBindings": {},
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "Init": True,
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}, {"Name": "nofile", "Soft": 256, "Hard": 256}],
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
        "Memory": 67108864,
        "MemorySwap": 67108864,
        "CpuQuota": 50000,
        "CpuPeriod": 100000,
        "PidsLimit": 32,
    }


@pytest.mark.parametrize(
    ("spec", "entrypoint", "command"),
    [
        ({}, ["sleep"], ["2147483647"]),
        ({"command": ["python"]}, ["python"], None),
        ({"args": ["-c", "1"]}, None, ["-c", "1"]),
        ({"command": ["python"], "args": ["-c", "1"]}, ["python"], ["-c", "1"]),
    ],
)
def test_command_and_args_are_those_of_kubernetes(
    spec: Mapping[str, Any], entrypoint: list[str] | None, command: list[str] | None
) -> None:
    body = body_of(spec)
    assert (body.get("Entrypoint"), body.get("Cmd")) == (entrypoint, command)


@pytest.mark.parametrize(
    ("millis", "pair"), [(500, (50000, 100000)), (10, (1000, 100000)), (9, (9000, 1000000)), (1, (1000, 1000000))]
)
def test_every_thousandth_of_a_core_survives_the_way_to_the_engine_and_back(millis: int, pair: tuple[int, int]) -> None:
    assert cpu_quota(millis) == pair
    assert cpu_of(*pair) == millis


def test_an_unlimited_resource_is_not_mentioned() -> None:
    assert resources(Limits(), 2000, gvisor=False) == {}


def test_more_cpu_than_the_machine_has_is_clamped() -> None:
    assert resources(Limits(cpu=64000), 2000, gvisor=False) == {"CpuQuota": 200000, "CpuPeriod": 100000}


def test_gvisors_own_threads_are_added_to_the_pids_limit() -> None:
    config = host_config_of({"runtimeClass": "gvisor"})
    assert (config["Runtime"], config["PidsLimit"]) == ("runsc", 64 + 16 * 32)
    assert sandbox_pids(config["PidsLimit"], gvisor=True) == 32


def test_an_unknown_runtime_class_names_those_that_there_are() -> None:
    with pytest.raises(CannotRunError, match=r"runtimeClass kata.*runc, runsc"):
        body_of({"runtimeClass": "kata"})


def test_gvisor_cannot_run_on_an_engine_without_it() -> None:
    with pytest.raises(CannotRunError, match="gvisor"):
        body_of({"runtimeClass": "gvisor"}, Host(workspace="/w", runtimes=("runc",)))


def test_ports_are_published_on_the_loopback_address_alone() -> None:
    network = {"mode": "bridge", "ports": [{"containerPort": 80, "hostPort": 8080}]}
    body = body_of({"network": network})
    assert body["ExposedPorts"] == {"80/tcp": {}}
    assert body["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}
    assert body["HostConfig"]["NetworkMode"] == "our-bridge"


@pytest.mark.parametrize(
    ("working_dir", "target"),
    [
        ("/workspace", "/workspace"),
        ("/workspace/src", "/workspace"),
        ("/srv/app", "/srv/app"),
        ("/workspaces", "/workspaces"),
    ],
)
def test_the_workspace_is_where_the_work_is(working_dir: str, target: str) -> None:
    assert host_config_of({"workingDir": working_dir})["Mounts"][0]["Target"] == target


def test_nothing_inside_tells_namespace_or_name() -> None:
    body = body_of()
    assert body["Hostname"] == "sandbox-3b9f8a52"
    inside = {name: value for name, value in body.items() if name != "Labels"}
    assert "web" not in str(inside)
    assert "default" not in str(inside)


def test_an_images_own_health_check_is_switched_off() -> None:
    assert body_of()["Healthcheck"] == {"Test": ["NONE"]}


def test_labels_lead_back_to_owner_and_template() -> None:
    wanted = desired(
        "web", {"env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}}]}
    )
    owner = Owner("instance-1", wanted.key, UID, 7, wanted.spec_hash, "b")
    labels = container_body(wanted, owner, Host(workspace="/w", env=("TOKEN=hunter2",)))["Labels"]
    assert owner_of(labels) == owner
    assert template_of(labels) == wanted.template
    assert "hunter2" not in str(labels)


@pytest.mark.parametrize(
    "missing", ["sandkeeper.dev/kind", "sandkeeper.dev/name", "sandkeeper.dev/generation", "sandkeeper.dev/slot"]
)
def test_labels_that_are_not_whole_name_no_owner(missing: str) -> None:
    labels = body_of()["Labels"]
    del labels[missing]
    assert owner_of(labels) is None


@pytest.mark.parametrize("uid", ["", "../etc", "web", UID.upper(), f"{UID}/.."])
def test_a_uid_that_could_lead_elsewhere_names_no_owner(uid: str) -> None:
    assert owner_of(body_of()["Labels"] | {"sandkeeper.dev/uid": uid}) is None


def test_no_labels_name_no_owner() -> None:
    assert owner_of(None) is None
    assert key_of({}) is None
    assert template_of({"sandkeeper.dev/template": "{"}) == {}


def test_capabilities_that_are_given_back_are_said_and_no_others() -> None:
    added = host_config_of({"capabilities": {"add": ["SETUID", "CHOWN", "CHOWN"]}})
    assert added == {**host_config_of(), "CapAdd": ["CHOWN", "SETUID"]}
