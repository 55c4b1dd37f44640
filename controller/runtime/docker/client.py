"""The one client of the engine: docker-py's transport, with a timeout on every call and our errors out of it.

Below docker-py's own client, which makes a pool and a connection for every URL and has requests weigh every call: that
took a third of the processor time of a start.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import urllib3
from docker.transport.unixconn import UnixHTTPConnectionPool

from controller.model.errors import EngineTimeoutError, EngineUnavailableError, RuntimeFailure
from controller.runtime.docker.config import DockerConfig, Timeouts
from controller.runtime.docker.locate import engine_socket
from controller.runtime.docker.stream import EngineStream, StreamRequest
from controller.runtime.docker.translate import TRANSPORT_ERRORS, from_answer, from_exception, message_of

_ANY_VERSION: Final = "1.41"  # of an engine that does not say its own
_REFUSED: Final = 400
_NOT_FOUND: Final = 404
_LEAST_POOL: Final = 64  # of connections kept; one too many is thrown away with a warning on stderr


class EngineClient:
    """Calls on the engine. Connects with the first call, again after every failure; every method may be called from
    any thread and raises RuntimeFailure's subclasses. Paths come quoted (`quoted`). `on_failure` is told of each call
    that got no answer.
    """

    def __init__(self, config: DockerConfig) -> None:
        self._config = config
        self._timeouts = config.timeouts
        self._lock = threading.Lock()
        self._pool: UnixHTTPConnectionPool | None = None
        self._version = ""
        self.on_failure: Callable[[RuntimeFailure], None] = lambda _: None

    @property
    def timeouts(self) -> Timeouts:
        """How long calls may take."""
        return self._timeouts

    @property
    def socket(self) -> str:
        """The path of the engine's socket. Raises EngineUnavailableError where it is not local."""
        return engine_socket(self._config.engine)

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The JSON answer of a GET."""
        return self._call("GET", path, params=params)

    def post(self, path: str, body: Any = None, *, params: Mapping[str, Any] | None = None, read: float = 0) -> Any:
        """The JSON answer of a POST, None where it has none. `read` seconds: another timeout than the ordinary one."""
        return self._call("POST", path, params=params, body=body, read=read)

    def delete(self, path: str, params: Mapping[str, Any] | None = None) -> None:
        """A DELETE: removing much can take long."""
        self._call("DELETE", path, params=params, read=self._timeouts.slow)

    def has(self, path: str) -> bool:
        """Whether a HEAD finds something."""
        try:
            pool = self._connected()
            answer = self._asked(pool, "HEAD", f"/v{self._version}{path}", None, self._timeouts.read)
        except (EngineUnavailableError, EngineTimeoutError) as exc:
            self.on_failure(exc)
            raise
        if answer.status != _NOT_FOUND:
            _checked(answer)
        return answer.status != _NOT_FOUND

    def ping(self) -> None:
        """Ask for a sign of life, in the shortest of the timeouts."""
        self._negotiate(self._connected())

    def stream(self, method: str, path: str, request: StreamRequest) -> EngineStream:
        """A request on a connection of its own, whose answer is read as it comes."""
        stream = self.unopened(request)
        self.open(stream, method, path)
        return stream

    def unopened(self, request: StreamRequest) -> EngineStream:
        """A stream that can be closed while it still waits for its first answer."""
        return EngineStream(self.socket, request, self._timeouts.connect)

    def open(self, stream: EngineStream, method: str, path: str) -> None:
        """Ask for a stream."""
        self._connected()
        stream.open(method, f"/v{self._version}{path}")

    def reset(self) -> None:
        """Forget connections and the engine's version: another engine may be behind the socket now.

        Calls under way go on with what they have.
        """
        with self._lock:
            self._pool = None

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        read: float = 0,
    ) -> Any:
        query = f"?{urlencode(params)}" if params else ""
        try:
            pool = self._connected()
            answer = self._asked(pool, method, f"/v{self._version}{path}{query}", body, read or self._timeouts.read)
            return _checked(answer)
        except EngineUnavailableError as exc:
            self.reset()
            self.on_failure(exc)
            raise
        except EngineTimeoutError as exc:
            self.on_failure(exc)
            raise

    def _asked(
        self, pool: UnixHTTPConnectionPool, method: str, url: str, body: Any, read: float
    ) -> urllib3.BaseHTTPResponse:
        try:
            return pool.urlopen(
                method,
                url,
                body=None if body is None else json.dumps(body),
                headers={} if body is None else {"Content-Type": "application/json"},
                timeout=urllib3.Timeout(connect=self._timeouts.connect, read=read),
                retries=False,
            )
        except TRANSPORT_ERRORS as exc:
            raise from_exception(exc, self.socket) from exc

    def _connected(self) -> UnixHTTPConnectionPool:
        """The pool of connections to the engine, which has answered once."""
        pool = self._pool
        if pool is not None:
            return pool
        size = max(_LEAST_POOL, self._config.pool_size)
        pool = UnixHTTPConnectionPool("http+docker://localhost", self.socket, maxsize=size)
        self._negotiate(pool)
        with self._lock:
            if self._pool is None:
                self._pool = pool
                return pool
            kept = self._pool
        pool.close()
        return kept

    def _negotiate(self, pool: UnixHTTPConnectionPool) -> None:
        answer = self._asked(pool, "GET", "/_ping", None, self._timeouts.ping)
        if answer.status >= _REFUSED:
            _checked(answer)
        self._version = answer.headers.get("Api-Version", _ANY_VERSION)


def quoted(name: str) -> str:
    """A name or id as one part of a path."""
    return quote(name, safe="/:@")


def _checked(answer: urllib3.BaseHTTPResponse) -> Any:
    if answer.status >= _REFUSED:
        raise from_answer(answer.status, message_of(answer.data))
    if not answer.data:
        return None
    try:
        return json.loads(answer.data)
    except ValueError as exc:
        raise RuntimeFailure(f"the engine's answer is not JSON: {answer.data[:200]!r}") from exc
