"""Whose a container or network is, said in labels and read back from them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from controller.model.identity import (
    API_GROUP,
    LABEL_GENERATION,
    LABEL_INSTANCE,
    LABEL_KIND,
    LABEL_NAME,
    LABEL_NAMESPACE,
    LABEL_SLOT,
    LABEL_SPEC_HASH,
    LABEL_TEMPLATE,
    LABEL_UID,
    SLOTS,
    Key,
    Owner,
)

# A container inherits its image's labels: these are none of those that say whose a sandbox is.
LABEL_IMAGE_OF: Final = f"{API_GROUP}/image-of"
LABEL_IMAGE_DIGEST: Final = f"{API_GROUP}/image-digest"
LABEL_IMAGE_BASE: Final = f"{API_GROUP}/image-base"
LABEL_IMAGE_BASE_NAME: Final = f"{API_GROUP}/image-base-name"
LABEL_IMAGE_PACKAGES: Final = f"{API_GROUP}/image-packages"
LABEL_IMAGE_ADDED: Final = f"{API_GROUP}/image-added-bytes"
LABEL_HELPER_OF: Final = f"{API_GROUP}/helper-of"

_UID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # it names a folder
_KEY_LABELS: Final = (LABEL_KIND, LABEL_NAMESPACE, LABEL_NAME)


def labels_of(owner: Owner, template: Mapping[str, Any]) -> dict[str, str]:
    """The labels of a container. The template names secrets and never holds their values."""
    return {
        LABEL_INSTANCE: owner.instance,
        **dict(zip(_KEY_LABELS, owner.key, strict=True)),
        LABEL_UID: owner.uid,
        LABEL_GENERATION: str(owner.generation),
        LABEL_SPEC_HASH: owner.spec_hash,
        LABEL_SLOT: owner.slot,
        LABEL_TEMPLATE: json.dumps(template, separators=(",", ":"), ensure_ascii=False),
    }


def owner_of(labels: Mapping[str, str] | None) -> Owner | None:
    """The owner that labels name, of whatever instance; None where they are not those of a sandbox."""
    known = labels or {}
    key = key_of(known)
    slot = next((slot for slot in SLOTS if slot == known.get(LABEL_SLOT)), None)
    uid, generation = known.get(LABEL_UID, ""), known.get(LABEL_GENERATION, "")
    if key is None or slot is None or not _UID.fullmatch(uid) or not generation.isdecimal():
        return None
    return Owner(
        instance=known.get(LABEL_INSTANCE, ""),
        key=key,
        uid=uid,
        generation=int(generation),
        spec_hash=known.get(LABEL_SPEC_HASH, ""),
        slot=slot,
    )


def key_of(labels: Mapping[str, str]) -> Key | None:
    """The key that labels name; an event's attributes hold them too."""
    parts = [labels.get(name, "") for name in _KEY_LABELS]
    return Key(*parts) if all(parts) else None


def template_of(labels: Mapping[str, str]) -> Mapping[str, Any]:
    """The template that a container was made from; empty where the label cannot be read."""
    try:
        template = json.loads(labels.get(LABEL_TEMPLATE, ""))
    except ValueError:
        return {}
    return template if isinstance(template, dict) else {}


def key_filter(instance: str, key: Key) -> list[str]:
    """The engine's label filter for every container of a key."""
    return [f"{LABEL_INSTANCE}={instance}", *(f"{name}={part}" for name, part in zip(_KEY_LABELS, key, strict=True))]
