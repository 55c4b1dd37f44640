"""A container's output, as the engine's json-file driver kept it."""

from __future__ import annotations

from collections.abc import Iterator

from controller.model.errors import EngineUnavailableError
from controller.runtime.docker.client import EngineClient, quoted
from controller.runtime.docker.stream import EngineStream, StreamRequest


class DockerLogs:
    """An open stream of output (see LogStream)."""

    def __init__(self, client: EngineClient, container: str, tail: int | None, follow: bool) -> None:
        """Raises RuntimeFailure."""
        lines = "all" if tail is None else str(max(0, tail))
        silence = None if follow else client.timeouts.read
        query = f"stdout=1&stderr=1&tail={lines}&follow={int(follow)}"
        request = StreamRequest(silence=silence)
        self._stream: EngineStream = client.stream("GET", f"/containers/{quoted(container)}/logs?{query}", request)

    def __iter__(self) -> Iterator[bytes]:
        try:
            for _, chunk in self._stream.frames():
                yield chunk
        except EngineUnavailableError:
            return  # the engine went away while following: what came is all there is for now
        finally:
            self._stream.close()

    def close(self) -> None:
        """Stop, from any thread."""
        self._stream.close()
