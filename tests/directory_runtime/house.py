"""A state folder with its directory runtime, as a daemon has them, and sandboxes as manifests describe them."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import controller
from controller.model.clock import SystemClock
from controller.model.identity import Owner, Slot, sandbox_key
from controller.model.manifest import Document
from controller.model.observed import InstanceState, Observed
from controller.model.spec import Desired, SecretRef
from controller.resolve.defaults import ResolveSettings
from controller.resolve.resolver import resolve
from controller.runtime.cgroup.group import CgroupGroup
from controller.runtime.cgroup.root import CgroupRoot
from controller.runtime.directory import wire
from controller.runtime.directory.runtime import DirectoryConfig, DirectoryRuntime
from controller.runtime.directory.supervisor.spawn import Launch
from controller.runtime.disk import DiskWalker
from controller.runtime.protocol import ExecRequest
from controller.runtime.workspace import WorkspaceFolder
from tests.support.preparing import prepared

SECONDS = 20.0
T = TypeVar("T")


class OneSecret:
    """A store with the same value for everything."""

    def read(self, ref: SecretRef) -> str:
        return f"value of {ref.name}/{ref.key}"


class House:
    """`runtime` is a daemon's; `reopen` makes another on the same state, as a restarted daemon does."""

    def __init__(self, state_dir: Path, instance: str = "", **settings: Any) -> None:
        self.state_dir = state_dir
        self.instance = instance or str(uuid.uuid4())
        self.settings = settings
        self._clock = SystemClock()
        self._disk = DiskWalker(self._clock)
        self.workspaces = WorkspaceFolder(state_dir, self._clock)
        self.runtime = self._open()

    def _open(self) -> DirectoryRuntime:
        config = DirectoryConfig(self.state_dir, self.instance, **self.settings)
        return DirectoryRuntime(config, self.workspaces, self._disk, self._clock, OneSecret())

    def reopen(self) -> DirectoryRuntime:
        self.runtime.close()
        self.runtime = self._open()
        return self.runtime

    def make(self, *command: str, name: str = "web", slot: Slot = "a", uid: str = "", **spec: Any) -> str:
        """Create and start a sandbox; its id."""
        wanted = desired(*command, name=name, **spec)
        owner = owner_of(wanted, self.instance, uid or str(uuid.uuid4()), slot)
        prepared(self.runtime, wanted)
        id = self.runtime.create(wanted, owner)
        self.runtime.start(id)
        return id

    def see(self, id: str) -> Observed:
        """The instance now, read back live."""
        record = json.loads((self.folder(id) / "sandbox.json").read_text())
        seen = self.runtime.inspect(sandbox_key(*record["owner"]["key"][1:]))
        return next(observed for observed in seen if observed.id == id)

    def folder(self, id: str) -> Path:
        return self.state_dir / "directories" / id

    def workspace(self, id: str) -> Path:
        return Path(self.workspaces.path(id[:-2]))

    def group(self, id: str) -> CgroupGroup:
        return CgroupRoot(self.instance).group(id)

    def state(self, id: str) -> InstanceState:
        return self.see(id).state

    def log(self, id: str) -> str:
        return b"".join(self.runtime.logs(id)).decode()

    def run(self, id: str, *command: str, **request: Any) -> tuple[int, str]:
        """Exec a command to its end: exit code and both streams' text."""
        session = self.runtime.exec(id, ExecRequest(command, **request))
        text = b"".join(chunk for _, chunk in session.output()).decode()
        return session.exit_code(), text

    def end_of(self, id: str) -> Observed:
        """Wait until it has exited."""
        until(lambda: self.state(id) is InstanceState.EXITED, f"{id} did not end")
        return self.see(id)

    def supervisor(self) -> int | None:
        """The pid of the supervisor that is there."""
        path = self.state_dir / "run" / wire.LOCK
        identity = path.read_text() if path.exists() else ""
        return int(identity.split(":")[1]) if wire.is_alive(identity) else None

    def close(self) -> None:
        """Remove everything and the state folder; fails where something could not be."""
        self.empty()
        shutil.rmtree(self.state_dir)

    def empty(self) -> None:
        """Remove every sandbox, the supervisor and the control groups; fails where the supervisor met an error."""
        for seen in self.runtime.list():
            self.runtime.remove(seen.id)
        self.runtime.close()
        self._disk.close()
        pid = self.supervisor()
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            until(lambda: self.supervisor() is None, "the supervisor did not end")
        root = CgroupRoot(self.instance)
        for name in root.names():
            root.group(name).kill()
            root.group(name).remove()
        root.remove()
        log = self.state_dir / "run" / wire.LOG
        assert not log.exists() or "Traceback" not in log.read_text(), log.read_text()


def new_state_dir() -> Path:
    """A folder that everybody can pass through, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="sandkeeper-test-"))
    path.chmod(0o755)
    return path


@contextmanager
def small_disk() -> Iterator[Path]:
    """A state folder on a file system of 1 MiB; needs root."""
    path = new_state_dir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
        path.rmdir()


def desired(*command: str, name: str = "web", **spec: Any) -> Desired:
    """A directory sandbox as a manifest with that spec makes it."""
    body = {
        "apiVersion": "sandkeeper.dev/v1alpha1",
        "kind": "Sandbox",
        "metadata": {"name": name},
        "spec": {"isolation": "directory", "command": list(command), **spec},
    }
    return resolve(Document(sandbox_key("default", name), body, f"{name}.yaml", 1, "digest"), ResolveSettings())


def owner_of(wanted: Desired, instance: str, uid: str, slot: Slot = "a") -> Owner:
    return Owner(instance, wanted.key, uid, 1, wanted.spec_hash, slot)


def limits(**values: Any) -> Mapping[str, Any]:
    return {"limits": values}


def until(condition: Callable[[], T], failure: str = "", seconds: float = SECONDS) -> T:
    """What the condition gives once it is true; fails after a while."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, failure or "it did not come true"
        select.select((), (), (), 0.01)
    return result


def run_launched(launch: Launch) -> tuple[int, str]:
    """Run a launch to its end, as the supervisor would; exit code and output. Forks through a fresh interpreter."""
    code = "import json, os, sys; from controller.runtime.directory.supervisor.spawn import Launch, spawn; "
    code += "pid, report = spawn(Launch(**json.loads(sys.argv[1])), (0, 1, 2)); print(os.read(report, 4096).decode()); "
    code += "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(launch._asdict())],
        cwd=Path(controller.__file__).parent.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def is_running(pid: int) -> bool:
    """Alive and no zombie."""
    return wire.start_ticks(pid) is not None
