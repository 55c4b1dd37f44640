"""No field is accepted and ignored: each leaf of the schema changes a container, or what the loop does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient

from controller.model.clock import SystemClock
from controller.model.errors import RuntimeFailure
from controller.model.identity import digest_of, sandbox_key
from controller.model.manifest import Document
from controller.model.observed import Usage
from controller.skill.store import passing_store
from controller.source.config import SourceConfig
from controller.source.folder import FolderSource
from tests.docker_runtime.bench import Bench, desired
from tests.fields.leaves import schema_leaves
from tests.loop.harness import Harness, document
from tests.source.helpers import admit_all
from tests.support.preparing import prepared

Spec = Mapping[str, Any]
BRIDGE: Spec = {"network": {"mode": "bridge"}}
TWO_PORTS = [{"containerPort": 80, "hostPort": 28080}, {"containerPort": 81, "hostPort": 28081}]


def _limits(**limits: Any) -> Spec:
    return {"resources": {"limits": limits}}


def _ports(**change: int) -> Spec:
    return {"network": {"mode": "bridge", "ports": [{"containerPort": 80, "hostPort": 28080, **change}]}}


def _mount(**change: Any) -> Spec:
    return {"filesystem": {"mounts": [{"source": "@allowed/one", "target": "/data", **change}]}}


def _secret(**change: str) -> Spec:
    return {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "api", "key": "one", **change}}}]}


# What the engine is asked for differs between the two specs; both are created and inspected.
ENGINE: Mapping[str, tuple[Spec, Spec]] = {
    "spec.runtimeClass": ({}, {"runtimeClass": "gvisor"}),
    "spec.image": ({}, {"image": "busybox:other"}),
    "spec.command[]": ({"command": ["sleep", "1"]}, {"command": ["sleep", "2"]}),
    "spec.args[]": ({"args": ["sleep", "1"]}, {"args": ["sleep", "2"]}),
    "spec.env[].name": ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "B", "value": "1"}]}),
    "spec.env[].value": ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "A", "value": "2"}]}),
    "spec.env[].valueFrom.secretKeyRef.name": (_secret(), _secret(name="other")),
    "spec.env[].valueFrom.secretKeyRef.key": (_secret(), _secret(key="two")),
    "spec.workingDir": ({}, {"workingDir": "/workspace/below"}),
    "spec.user": ({}, {"user": "10002:10002"}),
    "spec.capabilities.add[]": ({}, {"capabilities": {"add": ["CHOWN"]}}),
    "spec.resources.limits.memory": ({}, _limits(memory="65Mi")),
    "spec.resources.limits.cpu": ({}, _limits(cpu="600m")),
    "spec.resources.limits.pids": ({}, _limits(pids=33)),
    "spec.resources.limits.openFiles": ({}, _limits(openFiles=257)),
    "spec.network.mode": ({}, BRIDGE),
    "spec.network.ports[].containerPort": (_ports(), _ports(containerPort=81)),
    "spec.network.ports[].hostPort": (_ports(), _ports(hostPort=28081)),
    "spec.filesystem.readOnlyRoot": ({}, {"filesystem": {"readOnlyRoot": False}}),
    "spec.filesystem.tmpfs.*": ({}, {"filesystem": {"tmpfs": {"/tmp": "1Mi"}}}),
    "spec.filesystem.mounts[].source": (_mount(), _mount(source="@allowed/two")),
    "spec.filesystem.mounts[].target": (_mount(), _mount(target="/other")),
    "spec.filesystem.mounts[].readOnly": (_mount(), _mount(readOnly=False)),
}

# What the loop does over one and the same life differs between the two specs.
LOOP: Mapping[str, tuple[Spec, Spec]] = {
    "spec.isolation": ({}, {"isolation": "directory"}),
    "spec.fallback": ({}, {"fallback": "directory"}),
    "spec.packages.python[]": (
        {"isolation": "directory"},
        {"isolation": "directory", "packages": {"python": ["six"]}},
    ),
    "spec.resources.limits.disk": ({}, _limits(disk="20Mi")),
    "spec.enforcement.warnAt": ({}, {"enforcement": {"warnAt": "20%"}}),
    "spec.enforcement.memory.action": ({}, {"enforcement": {"memory": {"action": "stop"}}}),
    "spec.enforcement.cpu.above": ({}, {"enforcement": {"cpu": {"above": "50%", "for": "4s"}}}),
    "spec.enforcement.cpu.for": (
        {"enforcement": {"cpu": {"above": "50%"}}},
        {"enforcement": {"cpu": {"above": "50%", "for": "4s"}}},
    ),
    "spec.enforcement.cpu.action": (
        {"enforcement": {"cpu": {"above": "50%", "for": "4s"}}},
        {"enforcement": {"cpu": {"above": "50%", "for": "4s", "action": "pause"}}},
    ),
    "spec.enforcement.pids.action": (
        _limits(pids=50),
        {**_limits(pids=50), "enforcement": {"pids": {"action": "stop"}}},
    ),
    "spec.enforcement.disk.action": (
        _limits(disk="20Mi"),
        {**_limits(disk="20Mi"), "enforcement": {"disk": {"action": "warn"}}},
    ),
    "spec.operatingMode": ({}, {"operatingMode": "Suspended"}),
    "spec.suspend.mode": ({}, {"suspend": {"mode": "Freeze"}}),
    "spec.restartPolicy": ({}, {"restartPolicy": "Never"}),
    "spec.startupDeadline": ({}, {"startupDeadline": "1s"}),
    "spec.stopGracePeriod": ({}, {"stopGracePeriod": "3s"}),
    "spec.shutdownTime": ({}, {"shutdownTime": "2027-01-15T08:00:30Z"}),
    "spec.ttl": ({}, {"ttl": "30s"}),
    "spec.shutdownPolicy": ({"ttl": "30s"}, {"ttl": "30s", "shutdownPolicy": "Delete"}),
    "spec.dependsOn[]": ({}, {"dependsOn": ["nobody"]}),
}

# Elsewhere: a pull is the engine's to refuse, who a sandbox is shows in its document, and a skill is read from files.
ELSEWHERE = frozenset(
    {
        "spec.skill.path",
        "spec.skill.validation",
        "spec.imagePullPolicy",
        "metadata.name",
        "metadata.namespace",
        "metadata.labels.*",
        "metadata.annotations.*",
    }
)


def test_each_leaf_of_the_schema_is_accounted_for_once() -> None:
    claimed = [*ENGINE, *LOOP, *ELSEWHERE]
    assert sorted(claimed) == sorted(schema_leaves())


@pytest.mark.docker
@pytest.mark.root
@pytest.mark.parametrize("leaf", ENGINE)
def test_a_leaf_changes_the_container(leaf: str, bench: Bench, docker_client: DockerClient) -> None:
    docker_client.images.get("busybox:latest").tag("busybox", "other")
    _fill(bench)
    before, after = (_inspected(bench, docker_client, spec, number) for number, spec in enumerate(ENGINE[leaf]))
    assert before != after


@pytest.mark.parametrize("leaf", LOOP)
def test_a_leaf_changes_what_the_loop_does(leaf: str, tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    before, after = LOOP[leaf]
    assert _life(tmp_path / "before", before) != _life(tmp_path / "after", after)


@pytest.mark.docker
@pytest.mark.root
def test_the_pull_policy_changes_what_becomes_of_an_image_that_is_there(bench: Bench) -> None:
    prepared(bench.runtime, desired("web", {"imagePullPolicy": "IfNotPresent"}))
    prepared(bench.runtime, desired("web", {"imagePullPolicy": "Never"}))
    with pytest.raises(RuntimeFailure):
        prepared(bench.runtime, desired("web", {"imagePullPolicy": "Always"}))


@pytest.mark.parametrize(
    "change", [{"name": "other"}, {"namespace": "other"}, {"labels": {"a": "b"}}, {"annotations": {"a": "b"}}]
)
def test_who_a_sandbox_is_shows_in_its_document(change: dict[str, Any], tmp_path: Path) -> None:
    plain, other = document("web"), document("web")
    metadata = {**other.body["metadata"], **change}
    changed = replace(
        other,
        key=sandbox_key(metadata["namespace"], metadata["name"]),
        body={**other.body, "metadata": metadata},
        digest=digest_of(metadata),
    )
    assert _shown(tmp_path / "one", plain) != _shown(tmp_path / "two", changed)


def test_another_skill_is_another_sandbox_and_its_validation_decides_whether_there_is_one(tmp_path: Path) -> None:
    for name, front in (("one", "name: one"), ("two", "name: two"), ("bad", "name: Not_A_Name")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "SKILL.md").write_text(f"---\n{front}\ndescription: d\n---\n")
    one, two = (_made_with(tmp_path, name, {"path": f"./{name}"}) for name in ("one", "two"))
    assert one != two
    lenient, strict = (
        _made_with(tmp_path, mode, {"path": "./bad", "validation": mode}) for mode in ("lenient", "strict")
    )
    assert lenient
    assert not strict


def _made_with(folder: Path, state: str, skill: dict[str, str]) -> list[str]:
    """The spec hashes of what comes of a manifest with that skill."""
    body = {
        "apiVersion": "sandkeeper.dev/v1alpha1",
        "kind": "Sandbox",
        "metadata": {"name": "web"},
        "spec": {"skill": skill},
    }
    (folder / "web.yaml").write_text(json.dumps(body))
    (folder / f".state-{state}").mkdir()
    harness = Harness(folder / f".state-{state}")
    with passing_store() as skills:
        config = SourceConfig(folder, read_skill=skills.read)
        found = FolderSource(config, admit_all, {}, SystemClock()).scan_once()
    harness.declare(*found.documents.values())
    return [seen.owner.spec_hash for seen in harness.docker.instances.values()]


def _fill(bench: Bench) -> None:
    for folder in ("one", "two"):
        (bench.allowed / folder).mkdir(exist_ok=True)
    for name in ("api", "other"):
        (bench.secrets / name).mkdir(mode=0o700, exist_ok=True)
        for key in ("one", "two"):
            secret = bench.secrets / name / key
            secret.write_text(f"{name}-{key}")
            secret.chmod(0o600)


def _inspected(bench: Bench, client: DockerClient, spec: Spec, number: int) -> dict[str, Any]:
    placed = json.loads(json.dumps(spec).replace("@allowed", str(bench.allowed)))
    created = bench.create(f"web{number}", placed)
    attributes = client.api.inspect_container(created.id)
    config = {name: value for name, value in attributes["Config"].items() if name not in ("Hostname", "Labels")}
    host = json.loads(json.dumps(attributes["HostConfig"]).replace(created.owner.uid, "uid"))
    return {"config": config, "host": host}


def _life(state: Path, spec: Spec) -> list[object]:
    """What is called and shown over a life: an outage, failures, a start, load, suspension, a crash, time, the end."""
    harness = Harness(state)
    trace: list[object] = []
    harness.docker.available = False
    harness.declare(document("web", **spec))
    harness.advance(2)
    _look(harness, trace)
    harness.docker.available = True
    harness.docker.fail("create", RuntimeFailure("the engine said 500"), times=3)
    harness.wake("web")
    _look(harness, trace)
    harness.advance(10)
    _look(harness, trace)
    steps: tuple[Callable[[Harness], None], ...] = (_loaded, _suspended, _crashed, _later)
    for step in steps:
        step(harness)
        _look(harness, trace)
    harness.declare()
    trace += [tuple(harness.docker.calls), tuple(harness.directory.calls), tuple(harness.docker.graces)]
    trace.append(tuple(sorted(path.name for path in state.glob("trash/*"))) != ())
    return trace


def _loaded(harness: Harness) -> None:
    for tick in range(1, 6):
        harness.clock.advance(2)
        usage = Usage(harness.clock.now(), 1.2 * tick, (300 if tick < 4 else 600) << 20, 60, disk=30 << 20)
        for runtime in (harness.docker, harness.directory):
            runtime.usages = dict.fromkeys(runtime.instances, usage)
        harness.loop.tick.run()
        harness.settle()
    harness.advance(2)


def _suspended(harness: Harness) -> None:
    harness.loop.control.suspend(harness.key("web"), "asked")
    harness.advance(1)
    harness.loop.control.resume(harness.key("web"))
    harness.advance(2)


def _crashed(harness: Harness) -> None:
    for runtime in (harness.docker, harness.directory):
        for seen in list(runtime.instances.values()):
            runtime.end(seen.id, code=1)
    harness.wake("web")
    harness.advance(5)


def _later(harness: Harness) -> None:
    uid = harness.entry("web").record.uid
    harness.workspaces.ensure(uid, 0, 0)
    harness.advance(60)


def _look(harness: Harness, trace: list[object]) -> None:
    entry = harness.entry("web")
    assert entry.status is not None
    conditions = [(each.type, each.status, each.reason, each.message) for each in entry.status.conditions]
    events = [(event.reason, event.message) for event in harness.store.events()]
    specs = [
        seen.owner.spec_hash for seen in (*harness.docker.instances.values(), *harness.directory.instances.values())
    ]
    trace.append((entry.status.phase, conditions, events, specs))


def _shown(state: Path, wanted: Document) -> str:
    state.mkdir()
    harness = Harness(state)
    harness.declare(wanted)
    (entry,) = harness.world.entries().values()
    return json.dumps(entry.record.document["metadata"], sort_keys=True)
