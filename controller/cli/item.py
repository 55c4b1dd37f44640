"""One sandbox as the daemon serves it, and how a command line names one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple


class Target(NamedTuple):
    """The sandbox that a command names."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Item:
    """A `{metadata, spec, status}` document; what is absent in it reads as empty."""

    document: Mapping[str, Any]

    @property
    def target(self) -> Target:
        """Its namespace and name."""
        return Target(self.metadata["namespace"], self.metadata["name"])

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Who it is."""
        return mapping(self.document, "metadata")

    @property
    def spec(self) -> Mapping[str, Any]:
        """What is wanted, with defaults; the last known where no file declares it any more."""
        return mapping(self.document, "spec")

    @property
    def status(self) -> Mapping[str, Any]:
        """What is known."""
        return mapping(self.document, "status")

    @property
    def usage(self) -> Mapping[str, Any]:
        """The last measurement."""
        return mapping(self.status, "usage")

    @property
    def limits(self) -> Mapping[str, Any]:
        """The limits in force, in bytes, thousandths of a core or as a count; what is unlimited is absent."""
        return mapping(self.status, "limits")

    @property
    def phase(self) -> str:
        """Where it is in its life."""
        return str(self.status.get("phase", "Pending"))

    @property
    def ready(self) -> bool:
        """Whether its condition Ready is True."""
        return self.condition("Ready").get("status") == "True"

    @property
    def declared(self) -> bool:
        """Whether a file declares it."""
        return bool(self.status.get("declared", True))

    @property
    def created(self) -> float | None:
        """When its manifest was first accepted; epoch seconds."""
        return epoch(self.metadata.get("creationTimestamp"))

    def condition(self, wanted: str) -> Mapping[str, Any]:
        """The condition of a type, whatever the case of its letters; empty where there is none."""
        held: list[Mapping[str, Any]] = self.status.get("conditions") or []
        return next((condition for condition in held if condition["type"].lower() == wanted.lower()), {})


def mapping(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The map below a name; empty where it is absent or null."""
    found: Mapping[str, Any] = parent.get(name) or {}
    return found


def epoch(text: Any) -> float | None:
    """Seconds since the epoch of an RFC 3339 time as the daemon writes it; None where there is none."""
    return datetime.fromisoformat(text).timestamp() if text else None
