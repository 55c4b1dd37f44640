"""A private Docker Engine for tests and benchmarks: its own dockerd and containerd below one short temporary folder.

The user's engine is never touched: every path, the configuration file, the cgroups and containerd are its own. It never
reaches a registry. `python -m tests.support.engine up` runs one in the foreground and prints its DOCKER_HOST.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import docker
from docker import DockerClient

from tests.support import host, images

PREFIX = "ske-"  # short: unix socket paths end at 107 bytes
START_SECONDS = 60.0
STOP_SECONDS = 20.0
NO_REGISTRY = "http://127.0.0.1:9"  # nothing listens there: a pull fails at once, the same everywhere


class EngineError(RuntimeError):
    """The engine cannot be started or did not answer; the text ends with the tail of its log."""


class Engine:
    """A Docker Engine at `docker_host`, given by whoever set DOCKER_HOST."""

    def __init__(self, docker_host: str) -> None:
        self.docker_host = docker_host

    def client(self, timeout: float = 60) -> DockerClient:
        """A new docker-py client; the caller closes it."""
        return docker.DockerClient(base_url=self.docker_host, timeout=int(timeout))

    def load_images(self, *names: str) -> None:
        """Make each of the offline images (see images.RECIPES; all of them by default) present in the engine."""
        client = self.client(timeout=300)
        try:
            for name in names or tuple(images.RECIPES):
                images.load(client, name)
        finally:
            client.close()


class PrivateEngine(Engine):
    """A dockerd and containerd of our own. Needs root.

    `manage_iptables` None means: yes, unless another dockerd already manages this machine's tables (the last one to
    start flushes the other's chains) or they cannot be had. Published ports on 127.0.0.1 work either way.
    """

    def __init__(self, manage_iptables: bool | None = None) -> None:
        if os.geteuid() != 0:
            raise EngineError("a private engine needs root; or set DOCKER_HOST to an engine that tests may use")
        sweep()
        self.root, self._lock = _new_root()
        self.socket = self.root / "docker.sock"
        self.log = self.root / "engine.log"
        self.cgroup = host.Cgroup(self.root.name)
        self.iptables = host.iptables_are_free() if manage_iptables is None else manage_iptables
        self._dockerd: subprocess.Popen[bytes] | None = None
        self._containerd: subprocess.Popen[bytes] | None = None
        super().__init__(f"unix://{self.socket}")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start both daemons, on the data of the last run if there was one; returns when the API answers."""
        self._write_config()
        self.cgroup.create()
        for stale in ("docker.pid", "docker.sock", "containerd.sock"):
            (self.root / stale).unlink(missing_ok=True)
        containerd_socket = self.root / "containerd.sock"
        self._containerd = self._spawn("containerd", "--config", str(self.root / "containerd.toml"))
        self._await("containerd", self._containerd, containerd_socket.exists)
        self._dockerd = self._spawn("dockerd", "--config-file", str(self.root / "daemon.json"))
        self._await("dockerd", self._dockerd, self.answers)

    def restart(self) -> None:
        """What `systemctl restart docker containerd` does: containers are stopped, data stay."""
        self.terminate()
        self.start()

    def terminate(self) -> None:
        """What `systemctl stop docker containerd` does. The next start() finds the data."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL dockerd and its containerd. Containers run on until the next start(), which finds them stopped."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP dockerd: connections are accepted by the kernel and never answered."""
        self._running_dockerd().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT dockerd."""
        self._running_dockerd().send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End everything of this engine, whatever state it is in, and remove all it left on the machine."""
        self.cgroup.kill("containers")
        self._end(signal.SIGTERM)
        _remove(self.root)
        os.close(self._lock)

    def answers(self) -> bool:
        """Whether the API answers a ping now."""
        try:
            self.client(timeout=2).close()  # a new client asks for the server's version
        except docker.errors.DockerException:
            return False
        return True

    def _running_dockerd(self) -> subprocess.Popen[bytes]:
        if self._dockerd is None:
            raise EngineError("dockerd is not running; call start() first")
        return self._dockerd

    def _write_config(self) -> None:
        root = str(self.root)
        daemon: dict[str, object] = {
            "hosts": [self.docker_host],
            "pidfile": f"{root}/docker.pid",
            "data-root": f"{root}/data",
            "exec-root": f"{root}/exec",
            "containerd": f"{root}/containerd.sock",
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "cgroup-parent": f"/{self.cgroup.name}/containers",
            "bridge": "none",
            "iptables": self.iptables,
            "ip6tables": False,
            "ip-forward": False,
            "group": "root",
            "shutdown-timeout": 5,
        }
        runsc = host.find("runsc")
        if runsc:
            daemon["runtimes"] = {"runsc": {"path": runsc, "runtimeArgs": ["--network=none"]}}
        (self.root / "daemon.json").write_text(json.dumps(daemon, indent=1))
        (self.root / "containerd.toml").write_text(
            "version = 2\n"
            f'root = "{root}/containerd"\n'
            f'state = "{root}/exec/containerd"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{root}/containerd.sock"\n'
            f'[plugins."io.containerd.internal.v1.opt"]\npath = "{root}/opt"\n'
        )

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        program = host.find(command[0])
        if program is None:
            raise EngineError(f"{command[0]} is not installed: run scripts/setup-tests.sh as root")
        offline = {"HTTP_PROXY": NO_REGISTRY, "HTTPS_PROXY": NO_REGISTRY, "NO_PROXY": "localhost,127.0.0.1"}
        environment = os.environ | offline | {"PATH": host.search_path()}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.cgroup.inside("daemons", program, *command[1:]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the tests; they end the engine
            )

    def _await(self, name: str, process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None:
                raise EngineError(f"{name} exited with {process.returncode}; its log ends:\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise EngineError(f"{name} not ready in {START_SECONDS:.0f} s; its log ends:\n{self._log_tail()}")
            time.sleep(0.02)

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])

    def _end(self, how: signal.Signals) -> None:
        for process in (self._dockerd, self._containerd):
            if process is None or process.poll() is not None:
                continue
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)  # a paused one would not see SIGTERM
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._dockerd = self._containerd = None


def sweep() -> None:
    """Remove what engines of killed test runs left: those whose lock nobody holds any more."""
    for root in _parent().glob(f"{PREFIX}*"):
        if root.lstat().st_uid != os.geteuid():
            continue
        try:
            lock = _hold(root)
        except OSError:
            continue  # in use
        _remove(root)
        os.close(lock)


def _parent() -> Path:
    parent = Path(tempfile.gettempdir())
    return parent if len(str(parent)) <= 40 else Path("/tmp")


def _new_root() -> tuple[Path, int]:
    """A folder and the lock on it; it gets the name that sweep() looks for once it is locked."""
    new = Path(tempfile.mkdtemp(prefix=f"new-{PREFIX}", dir=_parent()))
    lock = _hold(new)
    return new.rename(new.with_name(new.name.removeprefix("new-"))), lock


def _hold(root: Path) -> int:
    """Lock a root for as long as this process lives; OSError when another one holds it."""
    descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove(root: Path) -> None:
    host.Cgroup(root.name).remove()
    host.remove_shim_sockets(root)
    host.unmount_below(root)
    host.remove_networks(root)
    shutil.rmtree(root, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """`up [IMAGE…]`: a private engine with these offline images (all by default), until SIGINT or SIGTERM."""
    if arguments[:1] != ["up"] or not set(arguments[1:]) <= set(images.RECIPES):
        print(f"usage: python -m tests.support.engine up [{'|'.join(images.RECIPES)}]…", file=sys.stderr)
        return 64
    for ends in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ends, lambda *_: sys.exit(0))
    with PrivateEngine() as engine:
        engine.load_images(*arguments[1:])
        print(f"export DOCKER_HOST={engine.docker_host}", flush=True)
        while True:
            signal.pause()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
