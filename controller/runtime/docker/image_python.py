"""Which Python an image has, asked of the image itself, once for each of its digests."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from controller.model.errors import CannotRunError, EngineTimeoutError, EnvironmentFailedError
from controller.runtime.docker.client import EngineClient
from controller.runtime.docker.helper import HARDENED, Helpers
from controller.runtime.docker.stream import StreamRequest
from controller.runtime.packages.errors import translated
from controller.runtime.packages.target import PROBE, PythonFacts, facts_of

_NAMES: Final = ("python3", "python")
_SECONDS: Final = 60.0
_NOBODY: Final = "65534:65534"
_LONGEST: Final = 65536
_NOT_THERE: Final = (126, 127)


class ImagePythons:
    """For any thread."""

    def __init__(self, client: EngineClient, helpers: Helpers, folder: Path) -> None:
        """`folder` is where answers are kept."""
        self._client = client
        self._helpers = helpers
        self._folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, PythonFacts] = {}

    def known(self, image_id: str, name: str) -> PythonFacts | None:
        """What was answered before. Raises EnvironmentFailedError where no packages can be had for it."""
        with self._lock:
            facts = self._known.get(image_id)
        if facts is not None:
            return facts
        try:
            answer = self._path(image_id).read_text("utf-8")
        except OSError:
            return None  # never asked, or it cannot be read: the image is still there to be asked
        return self._understood(image_id, answer, name) if _is_whole(answer) else None

    def ask(self, image_id: str, name: str) -> PythonFacts:
        """Run the image's Python once, in a container without network that can write nothing. `name` is for errors.

        Raises EnvironmentFailedError; RuntimeFailure where the engine could not do it.
        """
        known = self.known(image_id, name)
        if known is not None:
            return known
        answer = self._answer(image_id, name)
        facts = self._understood(image_id, answer, name)
        self._keep(image_id, answer)
        return facts

    def _understood(self, image_id: str, answer: str, name: str) -> PythonFacts:
        facts = facts_of(answer, f"the Python of {name}")
        with self._lock:
            self._known[image_id] = facts
        return facts

    def _answer(self, image_id: str, name: str) -> str:
        for python in _NAMES:
            try:
                code, said = self._run(image_id, python)
            except CannotRunError:
                continue  # no such program
            except EngineTimeoutError as exc:
                raise EnvironmentFailedError(
                    f"the Python of {name} did not answer within {_SECONDS:g} s: use another image"
                ) from exc
            if code == 0:
                return said
            if code not in _NOT_THERE:
                raise EnvironmentFailedError(
                    f"the Python of {name} ended with {code}: {said.strip()[-300:]}; use another image"
                )
        raise EnvironmentFailedError(
            f"{name} has no python3 on its PATH, which spec.packages.python need: use an image with Python 3.8 or "
            "newer, or leave them out"
        )

    def _run(self, image_id: str, python: str) -> tuple[int, str]:
        body: dict[str, Any] = {
            "Image": image_id,
            "Entrypoint": [python, "-I", "-c", PROBE],
            "Cmd": [],
            "User": _NOBODY,
            "WorkingDir": "/",
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": dict(HARDENED),
        }
        with self._helpers.made(body, {}) as id:
            self._client.post(f"/containers/{id}/start", read=self._client.timeouts.slow)
            code = int(self._client.post(f"/containers/{id}/wait", read=_SECONDS)["StatusCode"])
            stream = self._client.stream(
                "GET", f"/containers/{id}/logs?stdout=1&stderr=1", StreamRequest(silence=self._client.timeouts.read)
            )
            with_errors = code != 0
            said = bytearray()
            try:
                for name, chunk in stream.frames():
                    if (name == "stdout" or with_errors) and len(said) < _LONGEST:
                        said += chunk
            finally:
                stream.close()
            return code, said.decode(errors="replace")

    def _keep(self, image_id: str, answer: str) -> None:
        path = self._path(image_id)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside = path.with_suffix(f".{uuid4()}")
            beside.write_text(answer, "utf-8")
            beside.rename(path)
        except OSError as exc:
            raise translated(exc, f"cannot write {path}") from exc

    def _path(self, image_id: str) -> Path:
        asked = hashlib.sha256(PROBE.encode()).hexdigest()[:8]
        return self._folder / f"{image_id.rpartition(':')[2]}-{asked}.json"


def _is_whole(answer: str) -> bool:
    try:
        return isinstance(json.loads(answer), dict)
    except ValueError:
        return False
