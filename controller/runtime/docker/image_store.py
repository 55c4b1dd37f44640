"""The images that sandkeeper has made: listed with who uses them, and removed where nobody does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from controller.model.errors import ConflictError, ImageUnavailableError
from controller.runtime.docker.client import EngineClient, quoted
from controller.runtime.docker.labels import (
    LABEL_IMAGE_ADDED,
    LABEL_IMAGE_BASE_NAME,
    LABEL_IMAGE_DIGEST,
    LABEL_IMAGE_OF,
    LABEL_IMAGE_PACKAGES,
)
from controller.runtime.packages.used import UsedTimes

REPOSITORY: Final = "sandkeeper-packages"


@dataclass(frozen=True, slots=True)
class PackageImage:
    """One image. `added` is the size in bytes of what was added to the base; `used_at` (seconds since the epoch) when a
    sandbox was made from it last, as far as this state folder knows; `in_use`: there is a container of it.
    """

    name: str
    id: str
    instance: str
    base: str
    packages: tuple[str, ...]
    added: int
    used_at: float
    in_use: bool


class ImageStore:
    """For any thread. Raises RuntimeFailure's subclasses."""

    def __init__(self, client: EngineClient, instance: str, used: UsedTimes) -> None:
        self._client = client
        self._instance = instance
        self._used = used

    def list(self, of_all: bool = False) -> Sequence[PackageImage]:
        """Those of this instance, or `of_all`; the one used longest ago first."""
        wanted = LABEL_IMAGE_OF if of_all else f"{LABEL_IMAGE_OF}={self._instance}"
        listed = self._client.get("/images/json", {"filters": json.dumps({"label": [wanted]})})
        containers = self._client.get("/containers/json", {"all": "1"})
        in_use = {container["ImageID"] for container in containers}
        found = [image for item in listed for image in self._images(item, in_use)]
        return sorted(found, key=lambda image: (image.used_at, image.name))

    def remove(self, image: PackageImage) -> bool:
        """Remove it; False where somebody uses it by now, or has built on it. Idempotent."""
        try:
            self._client.delete(f"/images/{quoted(image.name)}")
        except ConflictError:
            return False
        except ImageUnavailableError:
            pass
        self._used.forget(image.name.rpartition(":")[2])
        return True

    def _images(self, item: Mapping[str, Any], in_use: set[str]) -> Iterator[PackageImage]:
        """By its name too: what somebody else has built on an image of ours has its labels."""
        labels = item.get("Labels") or {}
        digest = labels.get(LABEL_IMAGE_DIGEST, "")
        name = f"{REPOSITORY}:{digest}"
        if name not in (item.get("RepoTags") or ()):
            return
        yield PackageImage(
            name=name,
            id=item["Id"],
            instance=labels[LABEL_IMAGE_OF],
            base=labels.get(LABEL_IMAGE_BASE_NAME, ""),
            packages=_packages(labels.get(LABEL_IMAGE_PACKAGES, "")),
            added=int(labels.get(LABEL_IMAGE_ADDED) or 0),
            used_at=max(self._used.last(digest) or 0.0, float(item["Created"])),
            in_use=item["Id"] in in_use,
        )


def idle(images: Sequence[PackageImage], now: float, unused_for: float | None, most: int | None) -> list[PackageImage]:
    """Those to be removed: unused for so many seconds, then the longest unused ones beyond so many bytes in all.

    None: no such bound. What a container uses counts, and stays. Pure.
    """
    by_age = [image for image in images if not image.in_use]
    old = [image for image in by_age if unused_for is not None and now - image.used_at >= unused_for]
    if most is None:
        return old
    total = sum(image.added for image in images) - sum(image.added for image in old)
    for image in by_age:
        if total <= most:
            break
        if image not in old:
            old.append(image)
            total -= image.added
    return old


def _packages(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(each) for each in json.loads(text))
    except (ValueError, TypeError):
        return ()
