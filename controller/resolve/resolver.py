"""From a document to a desired sandbox: defaults, values, and the hashes that tell a replace from an update."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from controller.model.identity import resolved_hash, spec_hash
from controller.model.manifest import Document
from controller.model.quantity import format_memory
from controller.model.spec import Desired, Isolation, Limits, SandboxSpec
from controller.resolve import skill
from controller.resolve.admission import meaningful
from controller.resolve.defaults import ResolveSettings, overlay
from controller.resolve.parse import parse_spec
from controller.resolve.skill import with_skill, written_whole

# gVisor cannot change limits in place: there, their sizes are part of what a replace changes.
_NOT_RESIZABLE: Final = frozenset({"gvisor", "runsc"})


def resolve(document: Document, settings: ResolveSettings) -> Desired:
    """The desired sandbox of an admitted document. Raises QuantityError on a document that was never admitted,
    StateError on one whose skill nobody knows.
    """
    body = document.body
    written = overlay(settings.base(), body.get("spec") or {})
    parsed = parse_spec(written, document.key.namespace)
    spec = with_skill(parsed, written, document.skill, settings.skills_folder)
    if spec.skill is not None:
        written["skill"] = written_whole(written["skill"])
    desired = _desired(document, spec, written)
    if spec.fallback is None or spec.fallback == spec.isolation:
        return desired
    other = replace(spec, isolation=spec.fallback)
    return replace(desired, fallback=_desired(document, other, {**written, "isolation": str(spec.fallback)}))


def _desired(document: Document, spec: SandboxSpec, written: Mapping[str, Any]) -> Desired:
    metadata = document.body["metadata"]
    labels = metadata.get("labels") or {}
    facts = document.skill if spec.skill is not None else None
    template = template_of(spec, implied_tmpfs="tmpfs" not in written["filesystem"])
    if facts is not None:
        template["skill"] = skill.template_of(facts)
    return Desired(
        key=document.key,
        spec=spec,
        template=template,
        spec_hash=spec_hash(template),
        resolved_hash=resolved_hash(_plain(spec), labels),
        document={
            "metadata": {**metadata, "namespace": document.key.namespace},
            "spec": meaningful(written, spec.isolation),
        },
        origin=f"{document.file}:{document.line}",
        labels=labels,
        skill=facts,
    )


def template_of(spec: SandboxSpec, implied_tmpfs: bool) -> dict[str, Any]:
    """What only a replace can change, under the manifest's own field names, so that a difference reads as a cause.

    What can be updated in place (sizes of memory, cpu and pids) is left out, but not whether there is a limit at all:
    an engine cannot remove one. An implied `/tmp` follows memory and is left out with it.
    """
    limits = spec.limits
    common: dict[str, Any] = {
        "isolation": str(spec.isolation),
        "command": list(spec.command),
        "args": list(spec.args),
        "env": [_plain_env(entry) for entry in map(asdict, spec.env)],
        "workingDir": spec.working_dir,
        "packages": {"python": list(spec.packages)},
        "resources": {"limits": {**_presence(limits), "openFiles": limits.open_files}},
    }
    if spec.isolation is Isolation.DIRECTORY:
        return common
    if spec.runtime_class in _NOT_RESIZABLE:
        common["resources"]["limits"] |= {"memory": limits.memory, "cpu": limits.cpu, "pids": limits.pids}
    if spec.capabilities:
        common["capabilities"] = {"add": list(spec.capabilities)}
    tmpfs = {path: format_memory(size) for path, size in spec.filesystem.tmpfs.items()}
    return common | {
        "runtimeClass": spec.runtime_class,
        "image": spec.image,
        "user": spec.user,
        "network": {
            "mode": str(spec.network.mode),
            "ports": [
                {"containerPort": port.container_port, "hostPort": port.host_port} for port in spec.network.ports
            ],
        },
        "filesystem": {
            "readOnlyRoot": spec.filesystem.read_only_root,
            "tmpfs": "default" if implied_tmpfs else tmpfs,
            "mounts": [
                {"source": mount.source, "target": mount.target, "readOnly": mount.read_only}
                for mount in spec.filesystem.mounts
            ],
        },
    }


def _presence(limits: Limits) -> dict[str, str | None]:
    sizes = {"memory": limits.memory, "cpu": limits.cpu, "pids": limits.pids}
    return {name: None if size is None else "limited" for name, size in sizes.items()}


def _plain_env(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value is not None}


def _plain(spec: SandboxSpec) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(spec), default=str))
    if spec.skill is None:
        del plain["skill"]  # of a spec without one the hash is what it was before one could be said
    else:
        del plain["skill"]["mount"]
    if not spec.capabilities:
        del plain["capabilities"]  # of a spec without them the hash is what it was before they could be said
    return plain
