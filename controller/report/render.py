"""Views as the JSON documents of the API: camelCase, RFC 3339 times, absent values left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from controller.model.conditions import Condition
from controller.model.hold import Hold
from controller.model.identity import API_VERSION
from controller.model.observed import Capabilities, ContractRow, Usage
from controller.model.record import Sample, Termination, Timings
from controller.model.skill import SkillFacts
from controller.model.spec import Limits, Resource
from controller.model.status import EventRecord, SandboxStatus
from controller.report.protocol import DaemonInfo, SandboxView
from controller.report.usage_history import UsageSummary

Json = dict[str, Any]


def rfc3339(at: float | None) -> str | None:
    """`2026-11-23T21:00:00.123Z` from epoch seconds."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sandbox_document(view: SandboxView, summary: UsageSummary | None = None, output: bool = False) -> Json:
    """`{apiVersion, kind, metadata, spec, status}` of one sandbox.

    With `output`, `status.lastTermination` carries the last lines that its process wrote, which may hold secrets.
    """
    document = view.record.document if view.desired is None else view.desired.document
    return {
        "apiVersion": API_VERSION,
        "kind": view.key.kind,
        "metadata": _metadata(view, document),
        "spec": document.get("spec", {}),
        "status": _status(view, summary, output),
    }


def termination_document(termination: Termination, output: bool) -> Json:
    """`{cause, exitCode, signal, oomKilled, finishedAt, samples, logTail}`; logTail only with `output`."""
    return _present(
        {
            "cause": termination.cause,
            "exitCode": termination.exit_code,
            "signal": termination.signal,
            "oomKilled": termination.oom_killed,
            "finishedAt": rfc3339(termination.finished_at),
            "samples": [_sample(sample) for sample in termination.samples],
            "logTail": termination.log_tail if output else None,
        }
    )


def event_document(event: EventRecord) -> Json:
    """One event, in the words of Kubernetes' core/v1 Event."""
    return {
        "id": event.id,
        "type": event.type,
        "reason": event.reason,
        "message": event.message,
        "count": event.count,
        "firstTimestamp": rfc3339(event.first or event.at),
        "lastTimestamp": rfc3339(event.at),
        "involvedObject": {"kind": event.key.kind, "namespace": event.key.namespace, "name": event.key.name},
    }


def daemon_document(info: DaemonInfo) -> Json:
    """DaemonInfo with the same names in camelCase."""
    return {
        "instance": info.instance,
        "version": info.version,
        "manifests": info.manifests,
        "startedAt": rfc3339(info.started_at),
        "alive": info.alive,
        "synced": info.synced,
        "runtimes": [_capabilities(runtime) for runtime in info.runtimes],
        "faults": list(info.faults),
        "pruneReason": info.prune_reason,
        "pruneHash": info.prune_hash,
        "pruneKeys": list(info.prune_keys),
        "queueDepth": info.queue_depth,
        "manifestsGood": info.manifests_good,
        "manifestsStale": info.manifests_stale,
        "manifestsRefused": info.manifests_refused,
    }


def limits_of(view: SandboxView) -> Limits:
    """The limits in force: those last applied; what is never applied (disk, openFiles) as the manifest wants it."""
    wanted = view.desired.spec.limits if view.desired is not None else Limits()
    applied = view.record.applied
    if applied is None:
        return wanted
    return Limits(applied.memory, applied.cpu, applied.pids, wanted.disk, wanted.open_files)


def _skill(facts: SkillFacts | None) -> Json | None:
    if facts is None:
        return None
    return _present(
        {
            "name": facts.name,
            "description": facts.description,
            "tools": list(facts.tools),
            "packages": list(facts.packages),
            "pythonVersion": facts.python_version or None,
            "digest": facts.digest,
        }
    )


def _metadata(view: SandboxView, document: Mapping[str, Any]) -> Json:
    written = document.get("metadata", {})
    return {
        "name": view.key.name,
        "namespace": view.key.namespace,
        "uid": view.record.uid,
        "generation": view.record.generation,
        "creationTimestamp": rfc3339(view.record.accepted_at),
        "labels": dict(written.get("labels") or {}),
        "annotations": dict(written.get("annotations") or {}),
    }


def _status(view: SandboxView, summary: UsageSummary | None, output: bool) -> Json:
    status = view.status
    return _present(
        {
            "observedGeneration": status.observed_generation,
            "phase": str(status.phase),
            "conditions": [_condition(condition) for condition in status.conditions],
            "isolation": status.isolation or None,
            "containerID": status.container_id or None,
            "path": status.path or None,
            "pid": status.pid,
            "image": status.image or None,
            "skill": _skill(view.record.skill if view.desired is None else view.desired.skill),
            "restarts": status.restarts,
            "startedAt": rfc3339(status.started_at),
            "lastTermination": _last_termination(status, output),
            "limits": _limits(limits_of(view)),
            "usage": _usage(status.usage, summary, limits_of(view)) if status.usage else None,
            "enforcement": [_contract_row(row) for row in status.enforcement],
            "holds": [_hold(hold) for hold in status.holds],
            "timings": _timings(status.timings),
            "declared": view.desired is not None,
            "origin": (view.desired.origin if view.desired else view.record.origin) or None,
        }
    )


def _condition(condition: Condition) -> Json:
    return {
        "type": str(condition.type),
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": rfc3339(condition.last_transition_time),
    }


def _last_termination(status: SandboxStatus, output: bool) -> Json | None:
    return None if status.last_termination is None else termination_document(status.last_termination, output)


def _limits(limits: Limits) -> Json:
    """Those in force: memory and disk in bytes, cpu in thousandths of a core; what is unlimited is left out."""
    return _present({str(resource): limits.of(resource) for resource in Resource})


def _usage(usage: Usage, summary: UsageSummary | None, limits: Limits) -> Json:
    """The last measurement: memory and disk in bytes, cpu in seconds and thousandths of a core, `diskAge` in seconds.

    `lastHour` has `{p95, limit}` of memory, cpu, pids and disk in the same units.
    """
    return _present(
        {
            "at": rfc3339(usage.at),
            "cpuSeconds": round(usage.cpu_seconds, 6),
            "cpuMillis": round(summary.cpu_millis) if summary and summary.cpu_millis is not None else None,
            "workingSet": usage.working_set,
            "pids": usage.pids,
            "oomKills": usage.oom_kills,
            "disk": usage.disk,
            "diskAge": None if usage.disk_age is None else round(usage.disk_age, 1),
            "mechanism": usage.mechanism,
            "lastHour": {str(name): _beside(value, limits.of(name)) for name, value in _p95_items(summary)},
        }
    )


def _p95_items(summary: UsageSummary | None) -> Iterable[tuple[Resource, float]]:
    return summary.p95.items() if summary else ()


def _beside(value: float, limit: int | None) -> Json:
    return _present({"p95": round(value), "limit": limit})


def _contract_row(row: ContractRow) -> Json:
    given = {"limit": row.limit, "state": str(row.state), "mechanism": row.mechanism}
    return given | {name: text for name, text in (("value", row.value), ("reason", row.reason)) if text}


def _hold(hold: Hold) -> Json:
    return _present(
        {
            "type": str(hold.type),
            "cause": hold.cause,
            "since": rfc3339(hold.since),
            "release": str(hold.release),
            "generation": hold.generation,
            "value": hold.value,
        }
    )


def _timings(timings: Timings) -> Json:
    return _present(
        {
            "saved": rfc3339(timings.saved),
            "seen": rfc3339(timings.seen),
            "planned": rfc3339(timings.planned),
            "created": rfc3339(timings.created),
            "ready": rfc3339(timings.ready),
        }
    )


def _sample(sample: Sample) -> Json:
    return _present({"at": rfc3339(sample.at), "value": sample.value, "limit": sample.limit})


def _capabilities(runtime: Capabilities) -> Json:
    return {
        "runtime": runtime.runtime,
        "available": runtime.available,
        "reason": runtime.reason,
        "message": runtime.message,
        "updatable": sorted(runtime.updatable),
        "freeze": runtime.freeze,
        "throttle": runtime.throttle,
        "networks": runtime.networks,
        "maxCpu": runtime.max_cpu,
        "minMemory": runtime.min_memory,
        "runtimeClasses": sorted(runtime.runtime_classes),
    }


def _present(values: Json) -> Json:
    return {name: value for name, value in values.items() if value is not None}
