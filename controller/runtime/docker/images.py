"""Having an image: by pull policy, one pull at a time for each image, whoever else waits for it."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import structlog
from docker.utils import parse_repository_tag

from controller.model.errors import DiskFullError, EngineTimeoutError, ImageUnavailableError, RuntimeFailure
from controller.model.spec import PullPolicy
from controller.runtime.docker.client import EngineClient, quoted
from controller.runtime.docker.config import Timeouts
from controller.runtime.docker.registry_auth import registry_auth
from controller.runtime.docker.stream import EngineStream, StreamRequest
from controller.runtime.docker.translate import from_answer

log = structlog.get_logger(__name__)


class Images:
    """The engine's images. For any thread."""

    def __init__(self, client: EngineClient, timeouts: Timeouts) -> None:
        self._client = client
        self._timeouts = timeouts
        self._lock = threading.Lock()
        self._pulls: dict[str, Future[None]] = {}
        self._streams: set[EngineStream] = set()

    def ensure(self, image: str, policy: PullPolicy) -> None:
        """Have the image present. Raises ImageUnavailableError with the cause; DiskFullError."""
        if policy is not PullPolicy.ALWAYS and self._is_present(image):
            return
        if policy is PullPolicy.NEVER:
            raise ImageUnavailableError(
                f"{image} is not present and imagePullPolicy is Never: load or build it (docker load, docker build), "
                "or let it be pulled"
            )
        self._pull_once(image)

    def close(self) -> None:
        """End the pulls that are under way."""
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.close()

    def _is_present(self, image: str) -> bool:
        try:
            self._client.get(f"/images/{quoted(image)}/json")
        except ImageUnavailableError:
            return False
        return True

    def _pull_once(self, image: str) -> None:
        with self._lock:
            running = self._pulls.get(image)
            pull: Future[None] = running if running is not None else Future()
            self._pulls[image] = pull
        if running is None:
            self._lead(image, pull)
        pull.result()

    def _lead(self, image: str, pull: Future[None]) -> None:
        try:
            self._pull(image)
        except RuntimeFailure as exc:
            pull.set_exception(_explained(image, exc))
        except BaseException as exc:
            pull.set_exception(exc)
            raise
        else:
            pull.set_result(None)
        finally:
            with self._lock:
                del self._pulls[image]

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
    if isinstance(failure, DiskFullError):
        return failure
    why = "the registry fell silent" if isinstance(failure, EngineTimeoutError) else str(failure)
    explained = ImageUnavailableError(
        f"{image} cannot be pulled: {why}. Correct spec.image, make the registry reachable, or bring the image here "
        "(docker load) and use imagePullPolicy IfNotPresent"
    )
    explained.__cause__ = failure
    return explained
