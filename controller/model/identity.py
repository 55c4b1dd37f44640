"""Who a sandbox is: its key, its runtime names and the labels that say whose it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

API_GROUP: Final = "sandkeeper.dev"
API_VERSION: Final = f"{API_GROUP}/v1alpha1"
SANDBOX: Final = "Sandbox"

LABEL_INSTANCE: Final = f"{API_GROUP}/instance"
LABEL_KIND: Final = f"{API_GROUP}/kind"
LABEL_NAMESPACE: Final = f"{API_GROUP}/namespace"
LABEL_NAME: Final = f"{API_GROUP}/name"
LABEL_UID: Final = f"{API_GROUP}/uid"
LABEL_GENERATION: Final = f"{API_GROUP}/generation"
LABEL_SPEC_HASH: Final = f"{API_GROUP}/spec-hash"
LABEL_SLOT: Final = f"{API_GROUP}/slot"
LABEL_TEMPLATE: Final = f"{API_GROUP}/template"

# To be raised with any change of what is hashed: what another version has made is then compared field by field.
SPEC_HASH_VERSION: Final = "v1"
RESOLVED_HASH_VERSION: Final = "v1"

Slot = Literal["a", "b"]
SLOTS: Final[tuple[Slot, Slot]] = ("a", "b")


class Key(NamedTuple):
    """What queue, store, status and metrics are keyed by."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.lower()} {self.namespace}/{self.name}"


def sandbox_key(namespace: str, name: str) -> Key:
    """The key of a Sandbox."""
    return Key(SANDBOX, namespace, name)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose an object is; written as labels on a container and into a directory's `sandbox.json`."""

    instance: str
    key: Key
    uid: str
    generation: int
    spec_hash: str
    slot: Slot


def instance_name(instance: str, key: Key, slot: Slot) -> str:
    """The deterministic runtime name `sandbox-<namespace>-<name>-<h8>` of one slot of a key.

    It is the intent: a crash between any two calls leaves nothing to guess.
    """
    digest = hashlib.sha256("\0".join((instance, *key, slot)).encode()).hexdigest()
    return f"sandbox-{key.namespace}-{key.name}-{digest[:8]}"


def other_slot(slot: Slot) -> Slot:
    """The slot that a replacement takes."""
    return "b" if slot == "a" else "a"


def spec_hash(template: Mapping[str, Any]) -> str:
    """A versioned hash of the part of a spec that only a replace can change: keys sorted, after defaulting."""
    return f"{SPEC_HASH_VERSION}:{digest_of(template)}"


def resolved_hash(spec: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """A versioned hash of all that an edit can change of a sandbox, after defaulting."""
    return f"{RESOLVED_HASH_VERSION}:{digest_of({'spec': spec, 'labels': labels})}"


def same_version(one: str, other: str) -> bool:
    """Whether two versioned hashes can be compared; one without a version is of one before all others."""
    return one.rpartition(":")[0] == other.rpartition(":")[0]


def digest_of(value: Mapping[str, Any]) -> str:
    """16 hex digits of the SHA-256 of the value as canonical JSON."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
