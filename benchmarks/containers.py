"""The baseline: docker-py by itself, on containers hardened as ours are."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import docker
from docker.errors import DockerException
from docker.types import LogConfig, Mount, Ulimit

from benchmarks.waiting import TooSlow

NAME_LABEL: Final = "sandkeeper.dev/name"
_TEN_SECONDS: Final = 10.0


class BareDocker:
    """Creates, starts and removes containers with docker-py's own calls; equal to benchmarks.manifests.container."""

    def __init__(self, docker_host: str, workspace: Path) -> None:
        self.api = docker.APIClient(base_url=docker_host, version="auto", timeout=60, max_pool_size=16)
        self._workspace = workspace
        workspace.mkdir(exist_ok=True)

    def run(self, name: str) -> str:
        """Create and start; the container's id."""
        created = self.api.create_container(
            "busybox:latest",
            entrypoint=["sleep"],
            command=["2147483647"],
            name=name,
            hostname=name,
            user="10001:10001",
            working_dir="/workspace",
            environment=["LANG=C.UTF-8", "ROLE=worker"],
            healthcheck={"Test": ["NONE"]},
            host_config=self._host_config(),
        )
        self.api.start(created["Id"])
        return str(created["Id"])

    def run_all(self, names: Sequence[str], threads: int) -> list[str]:
        """Create and start all of them with so many threads; their ids."""
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self.run, names))

    def started_at(self, id: str) -> float:
        """When the engine saw it running, in epoch seconds of the machine's one clock."""
        started = self.api.inspect_container(id)["State"]["StartedAt"]
        return datetime.fromisoformat(started).timestamp()

    def remove(self, *ids: str) -> None:
        """Kill and remove."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda id: self.api.remove_container(id, force=True), ids))

    def stop_and_remove(self, id: str) -> None:
        """What the removal of a file amounts to."""
        self.api.stop(id, timeout=5)
        self.api.remove_container(id)

    def check_equal(self, ours: str, bare: str) -> None:
        """Raises where the two containers are not hardened alike: then the figures compare different work."""
        mine, theirs = (_comparable(self.api.inspect_container(id)) for id in (ours, bare))
        different = {name: (mine.get(name), theirs.get(name)) for name in mine if mine.get(name) != theirs.get(name)}
        if different:
            raise RuntimeError(f"the baseline's container differs from ours: {different}")

    def close(self) -> None:
        """Close its connections."""
        self.api.close()

    def _host_config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.api.create_host_config(
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            read_only=True,
            tmpfs={"/tmp": f"rw,noexec,nosuid,nodev,size={16 << 20}"},
            mounts=[Mount("/workspace", str(self._workspace), type="bind", propagation="rprivate")],
            network_mode="none",
            ipc_mode="private",
            init=True,
            restart_policy={"Name": "no"},
            ulimits=[Ulimit(name="core", soft=0, hard=0), Ulimit(name="nofile", soft=1024, hard=1024)],
            log_config=LogConfig(type="json-file", config={"max-size": "10m", "max-file": "2"}),
            mem_limit=64 << 20,
            memswap_limit=64 << 20,
            cpu_quota=50_000,
            cpu_period=100_000,
            pids_limit=32,
        )
        return config | {"CgroupnsMode": "private"}


class EngineEvents:
    """When containers started and were destroyed, by the sandbox's name, as the engine tells it."""

    def __init__(self, docker_host: str) -> None:
        self._api = docker.APIClient(base_url=docker_host, version="auto", timeout=60)
        self._told = threading.Condition()
        self._seen: dict[tuple[str, str], tuple[float, str]] = {}
        self._stream = self._api.events(decode=True, filters={"type": "container", "event": ["start", "destroy"]})
        self._thread = threading.Thread(target=self._listen, name="engine-events", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(DockerException):
            self._stream.close()
        self._thread.join(_TEN_SECONDS)
        self._api.close()

    def wait(self, action: str, name: str, seconds: float = 60.0) -> tuple[float, str]:
        """When that happened to the sandbox's container (epoch seconds), and the container's id. Raises TooSlow."""
        with self._told:
            if not self._told.wait_for(lambda: (action, name) in self._seen, seconds):
                raise TooSlow(f"not within {seconds:g} s: {action} of {name}")
            return self._seen[action, name]

    def _listen(self) -> None:
        for event in self._stream:
            name = event["Actor"]["Attributes"].get(NAME_LABEL)
            if name is None:
                continue
            with self._told:
                self._seen[event["Action"], name] = (event["timeNano"] / 1e9, event["Actor"]["ID"])
                self._told.notify_all()


def timed(call: Any, *arguments: Any) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


def _comparable(inspected: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that an inspect tells of how a container is held, without what names it or its workspace."""
    own = {name: value for name, value in inspected["HostConfig"].items() if name != "Mounts"}
    config = inspected["Config"]
    own |= {name: config[name] for name in ("User", "WorkingDir", "Entrypoint", "Cmd", "Image")}
    own["Env"] = sorted(config["Env"])
    own["Mounts"] = [(mount["Type"], mount["Destination"], mount["RW"]) for mount in inspected["Mounts"]]
    own["Ulimits"] = sorted(own["Ulimits"], key=lambda limit: str(limit["Name"]))
    return {name: value or None for name, value in own.items()}  # an empty list says as little as none
