"""The defaults of a spec, in the manifest's own shape, and how a manifest is laid over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

EMBEDDED: Final[Mapping[str, Any]] = {
    "isolation": "container",
    "fallback": "none",
    "runtimeClass": None,
    "image": "python:3.11-slim",
    "imagePullPolicy": "IfNotPresent",
    "packages": {"python": []},
    "command": [],
    "args": [],
    "env": [],
    "workingDir": "/workspace",
    "user": "10001:10001",
    "capabilities": {"add": []},
    "resources": {"limits": {"memory": "512Mi", "cpu": "1", "pids": 128, "disk": "1Gi", "openFiles": 1024}},
    "enforcement": {
        "warnAt": "80%",
        "memory": {"action": "kill"},
        "cpu": {"above": "95%", "for": "60s", "action": "warn"},
        "pids": {"action": "warn"},
        "disk": {"action": "stop"},
    },
    "network": {"mode": "none", "ports": []},
    "filesystem": {"readOnlyRoot": True, "mounts": []},
    "operatingMode": "Running",
    "suspend": {"mode": "Stop"},
    "restartPolicy": "Always",
    "startupDeadline": "5m",
    "stopGracePeriod": "10s",
    "shutdownTime": None,
    "ttl": None,
    "shutdownPolicy": "Retain",
    "dependsOn": [],
}

# A map whose keys are the user's own is replaced whole: a manifest's tmpfs does not gain the default's targets.
_WHOLE: Final = frozenset({"tmpfs"})


@dataclass(frozen=True, slots=True)
class ResolveSettings:
    """What resolution needs to know of the daemon.

    `defaults` is laid over the embedded ones; `own_user` is the caller's `uid:gid` where the controller is not root
    (then no other user can be given to a sandbox), else None. `skills_folder` is where the files of skills are kept by
    their digests.
    """

    defaults: Mapping[str, Any] = field(default_factory=dict)
    own_user: str | None = None
    skills_folder: str = "/var/lib/sandkeeper/skills"

    def base(self) -> dict[str, Any]:
        """The spec that a manifest is laid over."""
        embedded = dict(EMBEDDED) if self.own_user is None else {**EMBEDDED, "user": self.own_user}
        return overlay(embedded, self.defaults)


def overlay(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """A new mapping: `top` over `base`, maps merged, lists and scalars replaced; neither argument is changed."""
    merged = dict(base)
    for name, value in top.items():
        below = merged.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping) and name not in _WHOLE:
            merged[name] = overlay(below, value)
        else:
            merged[name] = value
    return merged
