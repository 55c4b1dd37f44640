"""The runtimes of a SandboxBuilder, each made when it is first needed: without containers no engine is looked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from controller.model.clock import Clock
from controller.model.identity import Key, Slot
from controller.runtime.cgroup.hits import LimitHits
from controller.runtime.disk import DiskWalker
from controller.runtime.protocol import Runtime
from controller.runtime.secrets import NoSecrets
from controller.runtime.workspace import WorkspaceFolder


class LocalRuntime(Runtime, Protocol):
    """A runtime of this machine."""

    def limit_hits(self, target: str) -> LimitHits | None:
        """How often the kernel held an instance to its limits; None where that is not seen from here."""


class LocalRuntimes(Mapping[str, LocalRuntime]):
    """By name: `docker` and `directory`. For any thread."""

    def __init__(self, base: Path, instance: str, clock: Clock, engine: str | None = None) -> None:
        """`engine` is an address as DOCKER_HOST writes it; None: found as Docker's own client finds it."""
        self._base = base
        self._instance = instance
        self._clock = clock
        self._engine = engine
        self._disk = DiskWalker(clock)
        self._lock = threading.Lock()
        self._made: dict[str, LocalRuntime] = {}
        self.workspaces = WorkspaceFolder(base, clock, trash_ttl=0.0)

    def __getitem__(self, name: str) -> LocalRuntime:
        with self._lock:
            found = self._made.get(name)
            if found is None:
                found = self._made[name] = self._make(name)
            return found

    def __iter__(self) -> Iterator[str]:
        return iter(("docker", "directory"))

    def __len__(self) -> int:
        return 2

    def close(self) -> None:
        """Release threads, sockets and descriptors; sandboxes go on."""
        with self._lock:
            made, self._made = self._made, {}
        for runtime in made.values():
            runtime.close()
        self._disk.close()

    def _make(self, name: str) -> LocalRuntime:
        if name == "directory":
            from controller.runtime.directory.runtime import (  # noqa: PLC0415 - where nothing is a directory
                DirectoryConfig,
                DirectoryRuntime,
            )

            config = DirectoryConfig(state_dir=self._base, instance=self._instance)
            return DirectoryRuntime(config, self.workspaces, self._disk, self._clock, NoSecrets())
        if name == "docker":
            from controller.runtime.docker.config import DockerConfig  # noqa: PLC0415 - as above, and no client then
            from controller.runtime.docker.runtime import DockerRuntime  # noqa: PLC0415 - as above

            docker_config = DockerConfig(
                instance=self._instance,
                engine=self._engine,
                bind_prefixes=("/",),  # whoever calls says what is mounted; the engine's socket never is
                forbidden=(str(self._base.resolve()),),
                epoch_file=self._base / "engine-epoch.json",
                name_of=container_name,
                cache_dir=self._base / "cache",
            )
            return DockerRuntime(docker_config, self.workspaces, self._disk, self._clock, NoSecrets())
        raise KeyError(name)


def container_name(_: str, key: Key, slot: Slot) -> str:
    """`sandbox-<id>`, and `sandbox-<id>-b` of one that takes another's place: ids are the world's only ones."""
    return f"sandbox-{key.name}" + ("" if slot == "a" else f"-{slot}")
