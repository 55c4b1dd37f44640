"""Having an image: by pull policy, one pull at a time for each image, whoever else wants it, in a thread of its own."""

from __future__ import annotations

import threading
from typing import Final

import structlog
from docker.utils import parse_repository_tag

from controller.model.clock import Clock
from controller.model.errors import (
    ConflictError,
    DiskFullError,
    EngineTimeoutError,
    ImageUnavailableError,
    RuntimeFailure,
)
from controller.model.identity import Key
from controller.model.spec import PullPolicy
from controller.runtime.background import Background
from controller.runtime.docker.client import EngineClient, quoted
from controller.runtime.docker.config import Timeouts
from controller.runtime.docker.registry_auth import registry_auth
from controller.runtime.docker.stream import EngineStream, StreamRequest
from controller.runtime.docker.translate import from_answer

log = structlog.get_logger(__name__)

_MOST_PULLS: Final = 32  # a registry that does not answer holds up those of other registries no sooner


class Images:
    """The engine's images. For any thread."""

    def __init__(self, client: EngineClient, timeouts: Timeouts, clock: Clock) -> None:
        self._client = client
        self._timeouts = timeouts
        self._lock = threading.Lock()
        self._streams: set[EngineStream] = set()
        self._closed = False
        self.pulls = Background("image-pull", _MOST_PULLS, clock)

    def ensure(self, key: Key, image: str, policy: PullPolicy) -> None:
        """Have the image present. Raises PreparingError while it is pulled; ImageUnavailableError with the cause,
        DiskFullError.
        """
        if self._has_to_be_pulled(image, policy):
            self.pulls.demand(key, f"the pull of {image}", lambda: self._explained_pull(image))

    def have(self, image: str, policy: PullPolicy) -> None:
        """Have the image present, in the caller's own thread. Raises as `ensure`."""
        if self._has_to_be_pulled(image, policy):
            self._explained_pull(image)

    def _has_to_be_pulled(self, image: str, policy: PullPolicy) -> bool:
        if policy is not PullPolicy.ALWAYS and self._is_present(image):
            return False
        if policy is PullPolicy.NEVER:
            raise ImageUnavailableError(
                f"{image} is not present and imagePullPolicy is Never: load or build it (docker load, docker build), "
                "or let it be pulled"
            )
        return True

    def close(self) -> None:
        """End the pulls that are under way."""
        self.pulls.close()
        with self._lock:
            self._closed = True
            streams = list(self._streams)
        for stream in streams:
            stream.close()

    def _is_present(self, image: str) -> bool:
        try:
            self._client.get(f"/images/{quoted(image)}/json")
        except ImageUnavailableError:
            return False
        return True

    def _explained_pull(self, image: str) -> None:
        try:
            self._pull(image)
        except (DiskFullError, ConflictError):
            raise
        except RuntimeFailure as exc:
            raise _explained(image, exc) from exc

    def _pull(self, image: str) -> None:
        repository, tag = parse_repository_tag(image)
        log.info("image_pull_started", image=image)
        request = StreamRequest(
            headers={"X-Registry-Auth": registry_auth(repository, self._timeouts.slow)},
            first=self._timeouts.pull_silence,
            silence=self._timeouts.pull_silence,
        )
        path = f"/images/create?fromImage={quoted(repository)}&tag={quoted(tag or 'latest')}"
        stream = self._client.unopened(request)
        with self._lock:
            if self._closed:
                raise ConflictError("the daemon is ending")
            self._streams.add(stream)
        try:
            self._client.open(stream, "POST", path)
            for line in stream.lines():
                if "error" in line:
                    raise from_answer(500, str(line["error"]))
        finally:
            with self._lock:
                self._streams.discard(stream)
            stream.close()
        if not self._is_present(image):
            raise ImageUnavailableError("the pull ended before the image was whole")
        log.info("image_pulled", image=image)


def _explained(image: str, failure: RuntimeFailure) -> RuntimeFailure:
    why = "the registry fell silent" if isinstance(failure, EngineTimeoutError) else str(failure)
    return ImageUnavailableError(
        f"{image} cannot be pulled: {why}. Correct spec.image, make the registry reachable, or bring the image here "
        "(docker load) and use imagePullPolicy IfNotPresent"
    )
