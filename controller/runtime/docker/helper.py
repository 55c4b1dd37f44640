"""Containers of our own that are no sandboxes: one to ask an image for its Python, one to make a layer in."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import uuid4

import structlog

from controller.model.clock import Clock
from controller.model.errors import RuntimeFailure
from controller.runtime.docker.client import EngineClient
from controller.runtime.docker.labels import LABEL_HELPER_OF

log = structlog.get_logger(__name__)

_NAME: Final = "sandkeeper-helper-"
_FORGOTTEN_SECONDS: Final = 1800.0
# As a sandbox's own, and tighter: what runs in it is an image that nobody has looked at.
HARDENED: Final[Mapping[str, Any]] = {
    "NetworkMode": "none",
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges:true"],
    "ReadonlyRootfs": True,
    "Memory": 256 << 20,
    "MemorySwap": 256 << 20,
    "PidsLimit": 64,
    "IpcMode": "private",
    "CgroupnsMode": "private",
    "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
    "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
    "RestartPolicy": {"Name": "no"},
}


class Helpers:
    """Makes them and removes them, also those of a daemon that was killed. For any thread."""

    def __init__(self, client: EngineClient, instance: str, clock: Clock) -> None:
        self._client = client
        self._instance = instance
        self._clock = clock

    @contextlib.contextmanager
    def made(self, body: Mapping[str, Any], labels: Mapping[str, str]) -> Iterator[str]:
        """The id of a container that is there for as long as it is used. Raises RuntimeFailure."""
        labelled = {**body, "Labels": {**labels, LABEL_HELPER_OF: self._instance}}
        name = {"name": f"{_NAME}{uuid4()}"}
        answer = self._client.post("/containers/create", labelled, params=name, read=self._client.timeouts.slow)
        id = str(answer["Id"])
        try:
            yield id
        finally:
            with contextlib.suppress(RuntimeFailure):  # the next collection finds it
                self._remove(id)

    def collect(self) -> None:
        """Remove what was left behind. Raises RuntimeFailure."""
        filters = json.dumps({"label": [f"{LABEL_HELPER_OF}={self._instance}"]})
        for item in self._client.get("/containers/json", {"all": "1", "filters": filters}):
            # By name as well: a label is handed down from an image to whatever is made from it.
            is_helper = any(name.startswith(f"/{_NAME}") for name in item.get("Names") or ())
            if is_helper and self._clock.now() - float(item["Created"]) > _FORGOTTEN_SECONDS:
                self._remove(item["Id"])
                log.info("helper_removed", id=item["Id"])

    def _remove(self, id: str) -> None:
        self._client.delete(f"/containers/{id}", {"force": "1", "v": "1"})
