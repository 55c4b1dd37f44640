"""Having images and packages before any sandbox needs them, and removing what none does, with a daemon or without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from controller.bootstrap import admit_with_defaults, directory_config, docker_config, settings_of
from controller.config import DaemonConfig
from controller.loop.lock import instance_of, read_instance
from controller.model.clock import SystemClock
from controller.model.errors import RuntimeFailure, UsageError
from controller.model.spec import Desired, Isolation, PullPolicy, SandboxSpec
from controller.resolve.resolver import resolve
from controller.runtime.directory.environment import Environments
from controller.runtime.docker.client import EngineClient
from controller.runtime.docker.image_store import ImageStore, PackageImage, idle
from controller.runtime.docker.images import Images
from controller.runtime.docker.package_images import PackageImages
from controller.skill.store import passing_store
from controller.source.validate import read_paths


@dataclass(frozen=True, slots=True)
class Need:
    """What some sandboxes need: packages in an image, or (`image` "") for environments of directories."""

    image: str
    policy: PullPolicy
    packages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Built:
    """What became of a need: the name of the image or "", or why it could not be had."""

    need: Need
    sandboxes: tuple[str, ...]
    name: str = ""
    failure: str = ""


def needs_of(config: DaemonConfig, paths: Sequence[Path]) -> dict[Need, list[str]]:
    """What the manifests of these files and folders need, each with the sandboxes that do. Raises UsageError."""
    with passing_store() as skills:
        snapshot = read_paths(paths, admit_with_defaults(config), config.allow_paths, skills.read)
    errors = [str(fault) for fault in snapshot.faults if not fault.warning]
    if errors:
        raise UsageError("\n".join([*errors, "correct them first: sandkeeper validate"]))
    settings = settings_of(config)
    found: dict[Need, list[str]] = {}
    for document in snapshot.documents.values():
        for wanted in _with_fallback(resolve(document, settings)):
            if wanted.spec.packages:
                name = f"{wanted.key.namespace}/{wanted.key.name}"
                found.setdefault(_need(wanted.spec), []).append(name)
    return found


class Prebuilder:
    """Works on a state folder's caches and on the engine; a context manager. Raises SandkeeperError."""

    def __init__(self, config: DaemonConfig) -> None:
        instance, clock = read_instance(config.state_dir, config.instance), SystemClock()
        for_docker = docker_config(config, instance)
        self._config = config
        self._clock = clock
        self._exit = ExitStack()
        client = EngineClient(for_docker)
        self._exit.callback(client.close)
        self._images = Images(client, for_docker.timeouts, clock)
        self._exit.callback(self._images.close)
        self._packages = PackageImages(client, for_docker, clock, for_docker.cache_dir or config.state_dir)
        self._exit.callback(self._packages.close)
        self._environments = Environments(directory_config(config, instance), clock)
        self._exit.callback(self._environments.close)
        self.store = ImageStore(client, instance, self._packages.used)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exit.close()

    def build(
        self, needs: dict[Need, list[str]], tell: Callable[[str], None], upgrade: bool = False
    ) -> Iterator[Built]:
        """Have each of them, one after the other; `tell` hears of every stage."""
        self._config.state_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        instance_of(self._config.state_dir, self._config.instance)  # kept, so that a daemon finds the images its own
        for need, sandboxes in needs.items():
            try:
                yield Built(need, tuple(sandboxes), name=self._have(need, tell, upgrade))
            except RuntimeFailure as exc:
                yield Built(need, tuple(sandboxes), failure=str(exc))

    def prune(
        self, unused_for: float | None, most: int | None, *, of_all: bool = False, dry: bool = False
    ) -> list[PackageImage]:
        """Remove images that no container uses; without a bound all of them. Those that were (or would be) removed."""
        images = self.store.list(of_all)
        bound = 0.0 if unused_for is None and most is None else unused_for
        doomed = idle(images, self._clock.now(), bound, most)
        return [image for image in doomed if dry or self.store.remove(image)]

    def _have(self, need: Need, tell: Callable[[str], None], upgrade: bool) -> str:
        if not need.image:
            tell(f"downloading {', '.join(need.packages)}")
            self._environments.fetch(need.packages, upgrade)
            return ""
        tell(f"having {need.image}")
        self._images.have(need.image, need.policy)
        return self._packages.build(need.image, need.packages, tell, anew=upgrade)


def _with_fallback(desired: Desired) -> Iterator[Desired]:
    yield desired
    if desired.fallback is not None:
        yield desired.fallback


def _need(spec: SandboxSpec) -> Need:
    if spec.isolation is Isolation.CONTAINER:
        return Need(spec.image, spec.pull_policy, tuple(sorted(spec.packages)))
    return Need("", PullPolicy.NEVER, tuple(sorted(spec.packages)))
