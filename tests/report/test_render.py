"""Views as JSON documents."""

from __future__ import annotations

import json
from dataclasses import replace

from controller.model.observed import Capabilities
from controller.model.spec import Limits, Resource
from controller.report.protocol import DaemonInfo
from controller.report.render import (
    daemon_document,
    event_document,
    rfc3339,
    sandbox_document,
    termination_document,
)
from controller.report.usage_history import UsageSummary
from tests.report.values import NOON, event, record, status, termination, usage, view


def test_times_are_rfc_3339_in_utc() -> None:
    assert rfc3339(NOON + 0.1234) == "2026-11-24T12:00:00.123Z"
    assert rfc3339(None) is None


def test_a_sandbox_is_rendered_whole() -> None:
    summary = UsageSummary(249.7, {Resource.MEMORY: float(40 << 20), Resource.CPU: 300.2})
    document = sandbox_document(view(measured=usage()), summary)
    assert json.loads(json.dumps(document)) == {
        "apiVersion": "sandkeeper.dev/v1alpha1",
        "kind": "Sandbox",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "0b9c",
            "generation": 3,
            "creationTimestamp": "2026-11-24T12:00:00.000Z",
            "labels": {"team": "research"},
            "annotations": {},
        },
        "spec": {
            "image": "busybox",
            "command": ["sleep", "1"],
            "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}},
        },
        "status": {
            "observedGeneration": 3,
            "phase": "Running",
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "Started",
                    "message": "",
                    "lastTransitionTime": "2026-11-24T12:00:00.000Z",
                },
                {
                    "type": "LimitsEnforced",
                    "status": "False",
                    "reason": "Unenforceable",
                    "message": "openFiles",
                    "lastTransitionTime": "2026-11-24T12:00:00.000Z",
                },
            ],
            "isolation": "container",
            "restarts": 0,
            "startedAt": "2026-11-24T12:00:00.000Z",
            "lastTermination": {
                "cause": "cause 0",
                "exitCode": 137,
                "signal": 9,
                "oomKilled": True,
                "finishedAt": "2026-11-24T12:00:00.000Z",
                "samples": [
                    {"at": "2026-11-24T12:00:00.000Z", "value": 64e6, "limit": 64e6},
                    {"at": "2026-11-24T12:00:02.000Z", "value": 65e6},
                ],
            },
            "limits": {"memory": 64 << 20, "cpu": 500, "disk": 1 << 30, "openFiles": 1024},
            "usage": {
                "at": "2026-11-24T12:00:00.000Z",
                "cpuSeconds": 1.5,
                "cpuMillis": 250,
                "workingSet": 32 << 20,
                "pids": 3,
                "oomKills": 0,
                "disk": 4096,
                "diskAge": 12.3,
                "mechanism": "tick",
                "lastHour": {"memory": {"p95": 40 << 20, "limit": 64 << 20}, "cpu": {"p95": 300, "limit": 500}},
            },
            "enforcement": [{"limit": "memory", "state": "Enforced", "mechanism": "cgroup v1", "value": "64Mi"}],
            "holds": [
                {
                    "type": "Throttled",
                    "cause": "cpu above 95%",
                    "since": "2026-11-24T12:00:00.000Z",
                    "release": "usage falls",
                    "generation": 3,
                    "value": 250,
                }
            ],
            "timings": {"saved": "2026-11-24T12:00:00.000Z"},
            "declared": True,
            "origin": "web.yaml:1",
        },
    }


def test_output_is_shown_only_where_asked_for() -> None:
    shown = sandbox_document(view(), output=True)["status"]["lastTermination"]
    assert shown["logTail"] == "last line\n"
    assert "last line" not in json.dumps(sandbox_document(view()))
    assert termination_document(termination(), output=True) == shown


def test_a_sandbox_that_no_file_declares_shows_its_last_manifest() -> None:
    undeclared = replace(view(), desired=None)
    document = sandbox_document(undeclared)
    assert document["spec"]["image"] == "busybox"
    assert document["status"]["declared"] is False


def test_limits_in_force_are_those_last_applied() -> None:
    resized = replace(view(), record=replace(record(), applied=Limits(memory=None, cpu=250, pids=7)))
    summary = UsageSummary(None, dict.fromkeys((Resource.MEMORY, Resource.CPU, Resource.DISK), 1.0))
    served = sandbox_document(resized, summary)["status"]
    assert served["limits"] == {"cpu": 250, "pids": 7, "disk": 1 << 30, "openFiles": 1024}
    assert served["usage"]["lastHour"] == {
        "memory": {"p95": 1},
        "cpu": {"p95": 1, "limit": 250},
        "disk": {"p95": 1, "limit": 1 << 30},
    }


def test_a_sandbox_without_a_measurement_has_no_usage() -> None:
    assert "usage" not in sandbox_document(replace(view(), status=status()))["status"]


def test_an_event_has_kubernetes_names() -> None:
    assert event_document(replace(event(4), id=9, first=NOON - 60, count=2)) == {
        "id": 9,
        "type": "Warning",
        "reason": "BackOff",
        "message": "message 4",
        "count": 2,
        "firstTimestamp": "2026-11-24T11:59:00.000Z",
        "lastTimestamp": "2026-11-24T12:00:00.000Z",
        "involvedObject": {"kind": "Sandbox", "namespace": "default", "name": "web"},
    }


def test_the_daemon_is_rendered_with_its_runtimes() -> None:
    docker = Capabilities("docker", available=False, reason="EngineDown", message="start it")
    info = DaemonInfo("i", "1", "m", NOON, True, False, (docker,), ("a.yaml:1:1: bad",), prune_keys=("default/web",))
    document = daemon_document(info)
    assert document["runtimes"][0]["reason"] == "EngineDown"
    assert (document["startedAt"], document["synced"]) == ("2026-11-24T12:00:00.000Z", False)
    assert (document["faults"], document["pruneKeys"]) == (["a.yaml:1:1: bad"], ["default/web"])
