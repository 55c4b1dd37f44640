"""What a schema cannot say is refused with the path of its field and what would be right."""

from __future__ import annotations

from typing import Any

import pytest

from controller.model.manifest import FieldFault
from controller.resolve.admission import admit
from controller.resolve.defaults import ResolveSettings

MEMORY = ("spec", "resources", "limits", "memory")
BRIDGE = {"mode": "bridge", "ports": [{"containerPort": 80, "hostPort": 8080}]}


def faults(settings: ResolveSettings | None = None, /, **spec: Any) -> list[FieldFault]:
    body = {"kind": "Sandbox", "metadata": {"name": "web"}, "spec": spec}
    return list(admit(body, settings or ResolveSettings()))


def memory(text: str) -> dict[str, Any]:
    return {"limits": {"memory": text}}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"isolation": "directory", "command": ["serve"], "workingDir": "/workspace/src"},
        {"isolation": "directory", "packages": {"python": ["requests"]}},
        {"packages": {"python": ["requests"]}},
        {"packages": {"python": ["requests"]}, "fallback": "directory"},
        {"network": BRIDGE},
        {"fallback": "directory"},
        {"resources": memory("6Mi")},
        {"resources": {"limits": {"memory": None, "cpu": None}}},
        {"dependsOn": ["db", "team/web"]},
        {"stopGracePeriod": "24h", "startupDeadline": "3650d", "ttl": "3650d"},
        {"shutdownTime": "9999-12-29T23:59:59Z"},
    ],
)
def test_what_can_be_meant_is_admitted(spec: dict[str, Any]) -> None:
    assert faults(**spec) == []


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        (
            {"isolation": "directory", "capabilities": {"add": ["CHOWN"]}},
            ("spec", "capabilities"),
            "no meaning for a directory sandbox",
        ),
        (
            {"isolation": "directory", "filesystem": {"mounts": [{"source": "/s", "target": "/t"}]}},
            ("spec", "filesystem", "mounts"),
            "a directory sandbox has no mounts",
        ),
        (
            {"fallback": "directory", "filesystem": {"mounts": [{"source": "/s", "target": "/t"}]}},
            ("spec", "filesystem", "mounts"),
            "a directory sandbox has no mounts",
        ),
        (
            {"isolation": "directory", "network": {"mode": "bridge"}},
            ("spec", "network", "mode"),
            "no network of its own",
        ),
        ({"isolation": "directory", "workingDir": "/srv"}, ("spec", "workingDir"), "/srv lies outside the workspace"),
        ({"isolation": "directory", "workingDir": "/workspaces"}, ("spec", "workingDir"), "outside the workspace"),
        ({"isolation": "directory", "image": "a"}, ("spec", "image"), "no meaning for a directory"),
        ({"isolation": "directory", "user": "7"}, ("spec", "user"), "no meaning for a directory"),
        ({"isolation": "directory", "runtimeClass": "runc"}, ("spec", "runtimeClass"), "no meaning for a directory"),
        (
            {"isolation": "directory", "filesystem": {"tmpfs": {"/tmp": "1Mi"}}},
            ("spec", "filesystem", "tmpfs"),
            "no meaning for a directory",
        ),
        (
            {"isolation": "directory", "filesystem": {"readOnlyRoot": False}},
            ("spec", "filesystem", "readOnlyRoot"),
            "no meaning for a directory",
        ),
        ({"resources": memory("5Mi")}, MEMORY, "5Mi is below the engine's least"),
        ({"resources": memory("0")}, MEMORY, "a sandbox cannot do with none"),
        (
            {"resources": {"limits": {"disk": "0"}}},
            ("spec", "resources", "limits", "disk"),
            "a sandbox cannot do with none",
        ),
        (
            {"resources": memory("64Mi"), "filesystem": {"tmpfs": {"/tmp": "32Mi", "/scratch": "32Mi"}}},
            ("spec", "filesystem", "tmpfs"),
            "64Mi of tmpfs counts as memory, of which there are 64Mi",
        ),
        ({"network": {"ports": BRIDGE["ports"]}}, ("spec", "network", "ports"), "ports need a network"),
        (
            {"network": {"mode": "bridge", "ports": [{"containerPort": n, "hostPort": 8080} for n in (80, 81)]}},
            ("spec", "network", "ports", 1, "hostPort"),
            "8080 is published twice",
        ),
        (
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}, {"name": "A", "value": "2"}]},
            ("spec", "env", 2, "name"),
            "A is set twice",
        ),
        ({"stopGracePeriod": "24h1s"}, ("spec", "stopGracePeriod"), "longer than can be kept to"),
        ({"stopGracePeriod": "99999999h"}, ("spec", "stopGracePeriod"), "longer than can be kept to"),
        ({"startupDeadline": "3651d"}, ("spec", "startupDeadline"), "longer than can be kept to"),
        ({"ttl": "999999999d"}, ("spec", "ttl"), "longer than can be kept to"),
        (
            {"enforcement": {"cpu": {"for": "999999999d"}}},
            ("spec", "enforcement", "cpu", "for"),
            "longer than can be kept to",
        ),
        ({"shutdownTime": "9999-12-31T23:59:59-23:59"}, ("spec", "shutdownTime"), "years 1970 to 9999"),
        ({"shutdownTime": "0001-01-01T00:00:00+23:59"}, ("spec", "shutdownTime"), "years 1970 to 9999"),
        ({"dependsOn": ["db", "web"]}, ("spec", "dependsOn", 1), "cannot depend on itself"),
        ({"dependsOn": ["default/web"]}, ("spec", "dependsOn", 0), "cannot depend on itself"),
        ({"resources": memory("lots")}, ("spec",), "'lots' is not an amount of memory"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_its_field(
    spec: dict[str, Any], path: tuple[str | int, ...], words: str
) -> None:
    found = [fault for fault in faults(**spec) if fault.path == path]
    assert len(found) == 1, faults(**spec)
    assert words in found[0].message


def test_every_fault_is_told_at_once() -> None:
    found = faults(dependsOn=["web"], resources=memory("1Mi"), user="0:0")
    assert {fault.path for fault in found} >= {("spec", "user"), MEMORY, ("spec", "dependsOn", 0)}


def test_another_user_needs_a_controller_that_is_root() -> None:
    settings = ResolveSettings(own_user="1000:1000")
    assert faults(settings) == []
    assert faults(settings, user="1000:1000") == []
    assert faults(settings, user="1000") == []
    (fault,) = faults(settings, user="7:7")
    assert fault.path == ("spec", "user")
    assert fault.message == "7:7 cannot be given: the controller is not root and runs as 1000:1000"
    assert fault.hint == "leave it out, or write '1000:1000'"
    assert faults(user="7:7") == []


@pytest.mark.parametrize("user", ["0", "0:0", "0:7", "00:7"])
def test_root_is_given_to_nobody(user: str) -> None:
    (fault,) = faults(user=user)
    assert fault.path == ("spec", "user")
    assert "root" in fault.message


@pytest.mark.parametrize("target", ["/", "/proc", "/proc/x", "/sys", "/dev/shm", "/workspace", "/a/../b", "/a//b"])
def test_nothing_is_put_where_it_would_cover_what_has_to_stay_visible(target: str) -> None:
    (fault,) = faults(filesystem={"tmpfs": {target: "1Mi"}})
    assert fault.path == ("spec", "filesystem", "tmpfs", target)
    (fault,) = faults(filesystem={"mounts": [{"source": "/allowed", "target": target}]})
    assert fault.path == ("spec", "filesystem", "mounts", 0, "target")


def test_a_sandbox_may_work_in_what_is_put_there_but_not_in_a_folder_that_it_covers() -> None:
    scratch = {"tmpfs": {"/tmp": "1Mi", "/data": "1Mi"}}
    assert faults(workingDir="/data", filesystem=scratch) == []
    assert faults(workingDir="/tmp", filesystem=scratch) == []
    (fault,) = faults(workingDir="/data/project", filesystem=scratch)
    assert "it would cover /data/project" in fault.message


def test_two_things_in_one_place_are_refused() -> None:
    mounts = [{"source": "/allowed", "target": "/data"}, {"source": "/other", "target": "/data"}]
    (fault,) = faults(filesystem={"mounts": mounts})
    assert fault.path == ("spec", "filesystem", "mounts", 1, "target")
    assert faults(filesystem={"tmpfs": {"/tmp": "1Mi", "/workspace/cache": "1Mi"}}) == []


def test_the_working_folder_is_not_the_kernels() -> None:
    (fault,) = faults(workingDir="/proc/1")
    assert fault.path == ("spec", "workingDir")


def test_an_operators_default_for_containers_does_not_refuse_directories() -> None:
    settings = ResolveSettings(defaults={"image": "ours", "runtimeClass": "runsc", "user": "7:7"})
    assert faults(settings, isolation="directory") == []
