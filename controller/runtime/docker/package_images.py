"""Images with the packages of a sandbox: the manifest's own image and one layer, made without running anything of it.

An image is named by what it is made of: the base's digest, the lock, and how its layer is laid out. So a base that has
changed under its tag, or another lock, is another image, and sandboxes that want the same share one.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import structlog

from controller.model.clock import Clock
from controller.model.errors import (
    ConflictError,
    EnvironmentFailedError,
    ImageUnavailableError,
    NotOwnedError,
)
from controller.model.identity import Key
from controller.model.spec import SandboxSpec
from controller.runtime.background import Background
from controller.runtime.docker.client import EngineClient, quoted
from controller.runtime.docker.config import DockerConfig
from controller.runtime.docker.helper import Helpers
from controller.runtime.docker.image_python import ImagePythons
from controller.runtime.docker.image_store import REPOSITORY, ImageStore, idle
from controller.runtime.docker.labels import (
    LABEL_HELPER_OF,
    LABEL_IMAGE_ADDED,
    LABEL_IMAGE_BASE,
    LABEL_IMAGE_BASE_NAME,
    LABEL_IMAGE_DIGEST,
    LABEL_IMAGE_OF,
    LABEL_IMAGE_PACKAGES,
)
from controller.runtime.docker.layer import LAYER_VERSION, write_layer
from controller.runtime.docker.stream import StreamRequest
from controller.runtime.keyed_locks import KeyedLocks
from controller.runtime.packages.cache import PackageCache
from controller.runtime.packages.errors import translated
from controller.runtime.packages.lock import Lock
from controller.runtime.packages.target import PythonFacts
from controller.runtime.packages.used import UsedTimes
from controller.runtime.packages.uv import UvRunner
from controller.runtime.tree import erase_tree

log = structlog.get_logger(__name__)

_MOST_BUILDS: Final = 4
_CLEANING_SECONDS: Final = 600.0
_JOIN_SECONDS: Final = 2.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Base:
    """A manifest's image as the engine has it."""

    name: str
    id: str
    config: Mapping[str, Any]


class PackageImages:
    """For any thread. Raises RuntimeFailure's subclasses."""

    def __init__(self, client: EngineClient, config: DockerConfig, clock: Clock, cache_dir: Path) -> None:
        folder = cache_dir / "packages"
        self._client = client
        self._instance = config.instance
        self._uv = UvRunner(cache_dir / "uv", config.install_timeout)
        self._cache = PackageCache(folder, self._uv)
        self._helpers = Helpers(client, config.instance, clock)
        self._pythons = ImagePythons(client, self._helpers, folder / "pythons")
        self._locks = KeyedLocks()
        self.used = UsedTimes(folder / "images")
        self._store = ImageStore(client, config.instance, self.used)
        self._cleanup = config.cleanup
        self._clock = clock
        self._cleaned_at = float("-inf")
        self.builds = Background("image-build", _MOST_BUILDS, clock)

    def ensure(self, key: Key, spec: SandboxSpec) -> None:
        """Have the image of a sandbox with packages, whose own image is present. Raises PreparingError while it is
        built; EnvironmentFailedError with the cause.
        """
        base = self._base(spec.image)
        what = _digest(base.id, *sorted(spec.packages))

        def tell(stage: str) -> None:
            self.builds.progress(what, f"an image with packages is built: {stage}")

        def build() -> None:
            self._in_folder(what, base, spec.packages, tell)

        told = f"an image with packages is built: {spec.image} with {', '.join(spec.packages)}"
        while self._known(base, spec.packages) is None:  # an end that was not asked for may be of one that went since
            self.builds.demand(key, what, build, told)

    def image_of(self, spec: SandboxSpec) -> str:
        """The id of the image that a container is made from. Raises ConflictError where it was not prepared."""
        known = self._known(self._base(spec.image), spec.packages)
        if known is None:
            raise ConflictError(f"the image of {spec.image} with packages is not there: it is built again")
        return known

    def build(self, image: str, packages: Sequence[str], tell: Tell, anew: bool = False) -> str:
        """Have the image in the caller's own thread; its name. `anew`: with the newest packages that are allowed."""
        base = self._base(image)
        return self._in_folder(_digest(base.id, *sorted(packages)), base, packages, tell, anew=anew)

    def collect(self, wanted: Callable[[Key], bool]) -> None:
        """Forget who wanted images; now and then remove what killed daemons have left half made, and what the policy
        says.
        """
        self.builds.retain(wanted)
        now = self._clock.monotonic()
        if now - self._cleaned_at < _CLEANING_SECONDS:
            return
        self._cleaned_at = now
        self._cache.discard_forgotten()
        self._helpers.collect()
        self._clean_up()

    def _clean_up(self) -> None:
        images = self._store.list()
        for image in images:
            if image.in_use:
                self.used.note(image.name.rpartition(":")[2])
        policy = self._cleanup
        for image in idle(images, self._clock.now(), policy.unused_for, policy.images_max_size):
            is_fresh = self._clock.now() - image.used_at < _CLEANING_SECONDS  # its container may be made just now
            if not is_fresh and self._store.remove(image):
                log.info("image_removed", image=image.name, base=image.base, packages=image.packages)
        if policy.unused_for is not None:
            self._cache.discard_unused(policy.unused_for)

    def close(self) -> None:
        """End what is being built."""
        self.builds.close()
        self._uv.close()
        self.builds.join(_JOIN_SECONDS)

    def _base(self, name: str) -> Base:
        info = self._client.get(f"/images/{quoted(name)}/json")
        return Base(name, info["Id"], info.get("Config") or {})

    def _known(self, base: Base, packages: Sequence[str]) -> str | None:
        """The id of the image that is there for them."""
        facts = self._pythons.known(base.id, base.name)
        lock = facts and self._cache.known(packages, facts.target)
        if not lock:
            return None
        digest = digest_of_image(base.id, lock)
        found = self._present(digest)
        if found is not None:
            self.used.note(digest)
        return found

    def _present(self, digest: str) -> str | None:
        name = f"{REPOSITORY}:{digest}"
        try:
            info = self._client.get(f"/images/{name}/json")
        except ImageUnavailableError:
            return None
        labels = (info.get("Config") or {}).get("Labels") or {}
        if labels.get(LABEL_IMAGE_DIGEST) != digest:
            raise NotOwnedError(f"an image named {name} is there that is not ours: remove it (docker rmi {name})")
        return str(info["Id"])

    def _in_folder(self, job: str, base: Base, packages: Sequence[str], tell: Tell, anew: bool = False) -> str:
        folder = self._cache.work / f"{job}-{uuid4()}"
        try:
            folder.mkdir(mode=0o700, parents=True)
            try:
                return self._made(folder, base, packages, tell, anew)
            finally:
                self._uv.done(folder.name)
                erase_tree(str(folder))
        except OSError as exc:
            raise translated(exc, f"cannot build an image in {folder}") from exc

    def _made(self, job: Path, base: Base, packages: Sequence[str], tell: Tell, anew: bool) -> str:
        tell(f"which Python {base.name} has")
        facts = self._pythons.ask(base.id, base.name)
        tell(f"locking {', '.join(packages)}")
        try:
            lock = self._cache.lock(packages, facts.target, job, anew)
            digest = digest_of_image(base.id, lock)
            with self._locks.held(digest):
                if self._present(digest) is None:
                    tell(f"downloading {', '.join(lock.packages)}")
                    tree = self._cache.tree(lock, job)
                    tell("adding the layer")
                    self._commit(job, base, facts, lock, tree)
        except EnvironmentFailedError as exc:
            python = f"Python {facts.target.version}, {facts.target.platform}"
            raise EnvironmentFailedError(f"for {base.name} ({python}): {exc}") from exc
        self.used.note(digest)
        return f"{REPOSITORY}:{digest}"

    def _commit(self, job: Path, base: Base, facts: PythonFacts, lock: Lock, tree: Path) -> None:
        """The container is never started: nothing of the image runs, its ONBUILD triggers neither."""
        digest = digest_of_image(base.id, lock)
        labels = {
            LABEL_IMAGE_OF: self._instance,
            LABEL_IMAGE_DIGEST: digest,
            LABEL_IMAGE_BASE: base.id,
            LABEL_IMAGE_BASE_NAME: base.name,
            LABEL_IMAGE_PACKAGES: json.dumps(lock.packages),
        }
        body: dict[str, Any] = {"Image": base.id, "HostConfig": {"NetworkMode": "none"}}
        if not base.config.get("Cmd") and not base.config.get("Entrypoint"):
            body["Cmd"] = [facts.executable]  # the engine makes no container without
        with self._helpers.made(body, labels) as id, tempfile.TemporaryFile(dir=job) as layer:
            write_layer(tree, facts, layer, lambda path: self._client.has(_archive(id, path)))
            added = str(layer.tell())
            request = StreamRequest(content=layer, first=self._client.timeouts.pull_silence)
            self._client.stream("PUT", _archive(id, "/"), request).close()
            config = {"Labels": {LABEL_IMAGE_ADDED: added, LABEL_HELPER_OF: ""}, "Env": _environment(base, facts)}
            params = {"container": id, "repo": REPOSITORY, "tag": digest, "pause": "0"}
            self._client.post("/commit", config, params=params, read=self._client.timeouts.pull_silence)
        log.info("image_built", image=f"{REPOSITORY}:{digest}", base=base.name, packages=lock.packages)


def digest_of_image(base_id: str, lock: Lock) -> str:
    """What an image is named by: 32 hex digits."""
    return _digest(str(LAYER_VERSION), base_id, lock.digest)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _archive(container: str, path: str) -> str:
    return f"/containers/{container}/archive?path={quoted(path)}"


def _environment(base: Base, facts: PythonFacts) -> list[str]:
    """The image's own, its scripts' folder on the PATH."""
    variables = [str(each) for each in base.config.get("Env") or ()]
    path = next((each.partition("=")[2] for each in variables if each.startswith("PATH=")), "")
    if not path or facts.scripts in path.split(":"):
        return variables
    return [*(each for each in variables if not each.startswith("PATH=")), f"PATH={path}:{facts.scripts}"]
