"""A document becomes a desired sandbox: defaults laid over, hashes that tell a replace from an update."""

from __future__ import annotations

from typing import Any

import pytest

from controller.model.errors import QuantityError
from controller.model.identity import digest_of, sandbox_key
from controller.model.manifest import Document
from controller.model.spec import Action, Desired, Isolation, Limits, RestartPolicy
from controller.resolve.defaults import EMBEDDED, ResolveSettings, overlay
from controller.resolve.parse import dependency_key, parse_time
from controller.resolve.resolver import resolve

KEY = sandbox_key("default", "web")
MI = 1 << 20
# Of the defaults alone. Where these change, so has their version: else an upgrade replaces or edits every sandbox.
SPEC_HASH = "v1:3f51a0fda153e506"
RESOLVED_HASH = "v1:66e11b1df1dfaa84"
DIRECTORY_HASH = "v1:9faf9d951318f0ae"


def resolved(settings: ResolveSettings | None = None, /, labels: dict[str, str] | None = None, **spec: Any) -> Desired:
    metadata = {"name": "web", **({"labels": labels} if labels else {})}
    body = {"kind": "Sandbox", "metadata": metadata, "spec": spec}
    return resolve(Document(KEY, body, "web.yaml", 3, digest_of(body)), settings or ResolveSettings())


def limits(**limits: Any) -> dict[str, Any]:
    return {"resources": {"limits": limits}}


def test_an_empty_spec_has_every_default() -> None:
    spec = resolved().spec
    assert (spec.isolation, spec.fallback, spec.runtime_class) == (Isolation.CONTAINER, None, None)
    assert (spec.image, spec.user, spec.working_dir) == ("python:3.11-slim", "10001:10001", "/workspace")
    assert spec.limits == Limits(512 * MI, 1000, 128, 1024 * MI, 1024)
    assert spec.filesystem.tmpfs == {"/tmp": 64 * MI}
    assert (spec.enforcement.warn_at, spec.enforcement.memory, spec.enforcement.disk) == (0.8, Action.KILL, Action.STOP)
    assert (spec.enforcement.cpu.above, spec.enforcement.cpu.for_seconds) == (0.95, 60.0)
    assert (spec.lifecycle.restart_policy, spec.lifecycle.startup_deadline) == (RestartPolicy.ALWAYS, 300.0)
    assert (spec.lifecycle.ttl, spec.lifecycle.shutdown_time, spec.lifecycle.stop_grace_period) == (None, None, 10.0)


def test_a_manifest_is_laid_over_the_operators_defaults_over_the_embedded_ones() -> None:
    settings = ResolveSettings(defaults={"image": "ours", "resources": {"limits": {"memory": "1Gi", "pids": 64}}})
    spec = resolved(settings, **limits(pids=32)).spec
    assert spec.image == "ours"
    assert spec.limits == Limits(1024 * MI, 1000, 32, 1024 * MI, 1024)


def test_laying_over_changes_neither_side() -> None:
    base, top = {"a": {"b": 1, "c": [1]}}, {"a": {"c": [2], "d": 3}, "e": None}
    assert overlay(base, top) == {"a": {"b": 1, "c": [2], "d": 3}, "e": None}
    assert (base, top) == ({"a": {"b": 1, "c": [1]}}, {"a": {"c": [2], "d": 3}, "e": None})
    resolved(image="b")
    assert EMBEDDED["image"] == "python:3.11-slim"


def test_where_the_controller_is_not_root_sandboxes_run_as_its_user() -> None:
    assert resolved(ResolveSettings(own_user="1000:1000")).spec.user == "1000:1000"


def test_a_tmpfs_of_ones_own_replaces_the_default_whole() -> None:
    settings = ResolveSettings(defaults={"filesystem": {"tmpfs": {"/scratch": "1Mi"}}})
    assert resolved(settings).spec.filesystem.tmpfs == {"/scratch": MI}
    assert resolved(settings, filesystem={"tmpfs": {"/tmp": "8Mi"}}).spec.filesystem.tmpfs == {"/tmp": 8 * MI}
    assert resolved(filesystem={"tmpfs": {}}).spec.filesystem.tmpfs == {}


def test_the_implied_tmp_is_a_quarter_of_a_small_memory() -> None:
    assert resolved(**limits(memory="64Mi")).spec.filesystem.tmpfs == {"/tmp": 16 * MI}
    assert resolved(**limits(memory=None)).spec.filesystem.tmpfs == {"/tmp": 64 * MI}


@pytest.mark.parametrize(
    "change",
    [
        limits(memory="1Gi"),
        limits(memory="64Mi"),
        limits(cpu="2"),
        limits(pids=7),
        limits(disk="2Gi"),
        {"enforcement": {"memory": {"action": "stop"}}},
        {"restartPolicy": "Never"},
        {"operatingMode": "Suspended"},
        {"ttl": "1h"},
        {"stopGracePeriod": "1s"},
        {"imagePullPolicy": "Always"},
        {"dependsOn": ["db"]},
        {"fallback": "directory"},
    ],
)
def test_what_can_change_in_place_keeps_the_hash_and_raises_the_generation(change: dict[str, Any]) -> None:
    before, after = resolved(), resolved(**change)
    assert after.spec_hash == before.spec_hash
    assert after.resolved_hash != before.resolved_hash


@pytest.mark.parametrize(
    "change",
    [
        limits(memory=None),
        limits(cpu=None),
        limits(pids=None),
        limits(openFiles=64),
        {"image": "b"},
        {"command": ["serve"]},
        {"args": ["serve"]},
        {"env": [{"name": "A", "value": "1"}]},
        {"workingDir": "/workspace/x"},
        {"user": "7"},
        {"runtimeClass": "runc"},
        {"network": {"mode": "bridge"}},
        {"filesystem": {"readOnlyRoot": False}},
        {"filesystem": {"tmpfs": {"/tmp": "64Mi"}}},
        {"filesystem": {"mounts": [{"source": "/srv/x", "target": "/x"}]}},
        {"isolation": "directory"},
    ],
)
def test_what_only_a_replace_can_change_changes_the_hash(change: dict[str, Any]) -> None:
    assert resolved(**change).spec_hash != resolved().spec_hash


@pytest.mark.parametrize("runtime", ["gvisor", "runsc"])
def test_gvisor_cannot_resize_so_there_sizes_are_part_of_the_hash(runtime: str) -> None:
    before = resolved(runtimeClass=runtime)
    for change in (limits(memory="1Gi"), limits(cpu="2"), limits(pids=7)):
        assert resolved(runtimeClass=runtime, **change).spec_hash != before.spec_hash


def test_a_default_said_aloud_is_no_change() -> None:
    said = resolved(image="python:3.11-slim", restartPolicy="Always", **limits(memory="512Mi", cpu=1))
    assert (said.spec_hash, said.resolved_hash) == (resolved().spec_hash, resolved().resolved_hash)
    assert resolved(**limits(memory="0.5Gi", cpu="1000m")).resolved_hash == resolved().resolved_hash


def test_labels_raise_the_generation_and_replace_nothing() -> None:
    labelled = resolved(None, {"team": "research"})
    assert labelled.spec_hash == resolved().spec_hash
    assert labelled.resolved_hash != resolved().resolved_hash
    assert labelled.labels == {"team": "research"}


def test_a_directorys_hash_is_blind_to_what_only_containers_have() -> None:
    settings = ResolveSettings(defaults={"image": "other", "user": "7:7", "runtimeClass": "runc"})
    assert resolved(settings, isolation="directory").spec_hash == resolved(isolation="directory").spec_hash


def test_hashes_do_not_change_between_releases() -> None:
    assert resolved().resolved_hash == RESOLVED_HASH
    assert resolved().spec_hash == SPEC_HASH
    assert resolved(isolation="directory", command=["serve"]).spec_hash == DIRECTORY_HASH


def test_a_fallback_is_the_same_sandbox_in_the_other_isolation() -> None:
    desired = resolved(fallback="directory", command=["serve"])
    assert desired.fallback is not None
    assert desired.fallback.spec.isolation is Isolation.DIRECTORY
    assert desired.fallback.document["spec"]["isolation"] == "directory"
    assert desired.fallback.spec_hash == resolved(isolation="directory", command=["serve"]).spec_hash
    assert desired.fallback.fallback is None
    assert resolved(isolation="directory", fallback="directory").fallback is None


def test_a_secret_is_a_reference_until_it_is_created() -> None:
    env = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}}]
    desired = resolved(env=env)
    assert desired.template["env"] == [{"name": "TOKEN", "secret": {"name": "api", "key": "token"}}]


def test_the_document_says_where_it_came_from_and_what_was_defaulted() -> None:
    desired = resolved(image="b")
    assert desired.origin == "web.yaml:3"
    assert desired.document["metadata"] == {"name": "web", "namespace": "default"}
    assert (desired.document["spec"]["image"], desired.document["spec"]["restartPolicy"]) == ("b", "Always")


def test_references_and_times() -> None:
    assert dependency_key("db", "team") == sandbox_key("team", "db")
    assert dependency_key("shared/db", "team") == sandbox_key("shared", "db")
    assert parse_time("2027-01-31T18:00:00Z") == parse_time("2027-01-31T19:00:00+01:00")
    for text in ("tomorrow", "2027-01-31T18:00:00", "2027-13-01T00:00:00Z"):
        with pytest.raises(QuantityError, match="write 2027-01-31T18:00:00Z"):
            parse_time(text)


def test_capabilities_that_are_given_back_need_a_replace_and_none_change_no_hash() -> None:
    assert resolved(capabilities={"add": []}).resolved_hash == RESOLVED_HASH
    added = resolved(capabilities={"add": ["KILL", "CHOWN"]})
    assert added.template["capabilities"] == {"add": ["CHOWN", "KILL"]}
    assert SPEC_HASH != added.spec_hash == resolved(capabilities={"add": ["CHOWN", "KILL"]}).spec_hash
