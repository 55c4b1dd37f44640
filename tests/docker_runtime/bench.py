"""What the tests of the Docker runtime work with: a runtime, manifests made into desired sandboxes, waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from controller.model.clock import Clock, SystemClock
from controller.model.errors import RuntimeFailure
from controller.model.identity import Owner, Slot, sandbox_key
from controller.model.manifest import Document
from controller.model.observed import Exit, Observed
from controller.model.spec import Desired
from controller.resolve.defaults import ResolveSettings, overlay
from controller.resolve.resolver import resolve
from controller.runtime.disk import DiskWalker
from controller.runtime.docker.config import DockerConfig
from controller.runtime.docker.runtime import DockerRuntime
from controller.runtime.protocol import ExecRequest
from controller.runtime.secrets import FolderSecrets
from controller.runtime.workspace import WorkspaceFolder
from tests.support import images
from tests.support.preparing import prepared

T = TypeVar("T")
SMALL: Mapping[str, Any] = {
    "image": images.BUSYBOX,
    "resources": {"limits": {"memory": "64Mi", "cpu": "500m", "pids": 32, "disk": "1Gi", "openFiles": 256}},
    "stopGracePeriod": "1s",
}


class Bench:
    """One runtime with an instance id of its own, and a state folder."""

    def __init__(self, state: Path, engine: str) -> None:
        self.state = state
        self.engine = engine
        self.instance = str(uuid4())
        self.allowed = state / "allowed"
        self.secrets = state / "secrets"
        self.allowed.mkdir(parents=True)
        self.secrets.mkdir(mode=0o700)
        self.clock: Clock = SystemClock()
        self.workspaces = WorkspaceFolder(state, self.clock)
        self._disk = DiskWalker(self.clock)
        self._runtimes: list[DockerRuntime] = []
        self.runtime = self.another()

    def another(self, **config: Any) -> DockerRuntime:
        """Another runtime on the same state, as a restarted daemon has."""
        settings = {
            "instance": self.instance,
            "engine": self.engine,
            "bind_prefixes": (str(self.allowed),),
            "epoch_file": self.state / "engine.json",
            "cache_dir": self.state / "cache",
            **config,
        }
        runtime = DockerRuntime(
            DockerConfig(**settings), self.workspaces, self._disk, self.clock, FolderSecrets(self.secrets)
        )
        self._runtimes.append(runtime)
        return runtime

    def create(
        self, name: str = "web", spec: Mapping[str, Any] | None = None, *, slot: Slot = "a", uid: str = ""
    ) -> Observed:
        """Prepare and create a sandbox from busybox, small limits and what the spec says."""
        wanted = desired(name, spec)
        prepared(self.runtime, wanted)
        return self.look(name, self.create_prepared(wanted, slot=slot, uid=uid))

    def create_prepared(self, wanted: Desired, *, slot: Slot = "a", uid: str = "") -> str:
        """Create it as it was prepared; its id."""
        owner = Owner(self.instance, wanted.key, uid or str(uuid4()), 1, wanted.spec_hash, slot)
        return self.runtime.create(wanted, owner)

    def run(self, name: str = "web", spec: Mapping[str, Any] | None = None, *, slot: Slot = "a") -> Observed:
        """Create and start it."""
        created = self.create(name, spec, slot=slot)
        self.runtime.start(created.id)
        return self.look(name, created.id)

    def look(self, name: str, id: str) -> Observed:
        """One instance as the runtime sees it now."""
        found = [seen for seen in self.runtime.inspect(sandbox_key("default", name)) if seen.id == id]
        assert len(found) == 1, f"{name} is not seen"
        return found[0]

    def ended(self, seen: Observed) -> Exit:
        """Wait for its end, and tell how it ended."""
        return until(lambda: self.look(seen.owner.key.name, seen.id).exit)

    def sh(self, target: str, script: str, **request: Any) -> tuple[int, str]:
        """Run a shell script inside; its exit status and what it printed."""
        session = self.runtime.exec(target, ExecRequest(("sh", "-c", script), **request))
        output = b"".join(chunk for _, chunk in session.output()).decode()
        code = session.exit_code()
        session.close()
        return code, output

    def close(self) -> None:
        """Remove what was made, and end every runtime."""
        try:
            for seen in self.runtime.list():
                self.runtime.remove(seen.id)
            self.another().collect_garbage(lambda _: False)
            self.runtime.collect_garbage(lambda _: False)
        except RuntimeFailure:
            pass  # its engine is gone, and so is all that was made
        for runtime in self._runtimes:
            runtime.close()
        self._disk.close()


def desired(name: str = "web", spec: Mapping[str, Any] | None = None) -> Desired:
    """A desired sandbox in the default namespace: busybox with small limits, overlaid with the spec."""
    body = {"metadata": {"name": name}, "spec": overlay(SMALL, spec or {})}
    return resolve(Document(sandbox_key("default", name), body, "test.yaml", 1, "digest"), ResolveSettings())


def until(condition: Callable[[], T | None], seconds: float = 10.0) -> T:
    """Ask until the answer is true; fails at the deadline. For what no event tells."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.01)
    return answer
