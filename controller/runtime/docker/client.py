"""The one client of the engine: docker-py's low-level client, with a timeout on every call and our errors out of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

import docker
import requests
from docker import auth
from docker.transport import UnixHTTPAdapter

from controller.model.errors import EngineTimeoutError, EngineUnavailableError, RuntimeFailure
from controller.runtime.docker.config import DockerConfig
from controller.runtime.docker.locate import engine_socket
from controller.runtime.docker.stream import EngineStream, StreamRequest
from controller.runtime.docker.translate import TRANSPORT_ERRORS, from_answer, from_exception, message_of

_ANY_VERSION: Final = "1.41"  # docker-py must be told one; what calls carry is what the engine says of itself
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
        self._api: docker.APIClient | None = None
        self._version = ""
        self.on_failure: Callable[[RuntimeFailure], None] = lambda _: None

    @property
    def socket(self) -> str:
        """The path of the engine's socket. Raises EngineUnavailableError where it is not local."""
        return engine_socket(self._config.engine)

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The JSON answer of a GET."""
        return self._call("GET", path, params=params)

    def post(self, path: str, body: Any = None, *, params: Mapping[str, Any] | None = None, read: float = 0) -> Any:
        """The JSON answer of a POST, None where it has none. `read` seconds: another timeout than the ordinary one."""
        return self._call("POST", path, params=params, json=body, read=read)

    def delete(self, path: str, params: Mapping[str, Any] | None = None) -> None:
        """A DELETE: removing much can take long."""
        self._call("DELETE", path, params=params, read=self._timeouts.slow)

    def ping(self) -> None:
        """Ask for a sign of life, in the shortest of the timeouts."""
        self._negotiate(self._client())

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
        self._client()
        stream.open(method, f"/v{self._version}{path}")

    def registry_auth(self, repository: str) -> str:
        """What a pull of this repository carries as X-Registry-Auth, from the caller's own Docker settings."""
        api = self._client()
        try:
            registry, _ = auth.resolve_repository_name(repository)
            header = auth.get_config_header(api, registry)
        except TRANSPORT_ERRORS as exc:
            raise RuntimeFailure(f"Docker's settings for {repository} cannot be read: {exc}") from exc
        return header.decode() if isinstance(header, bytes) else header or ""

    def reset(self) -> None:
        """Forget connections and the engine's version: another engine may be behind the socket now."""
        with self._lock:
            api, self._api = self._api, None
        if api is not None:
            api.close()

    close = reset

    def _call(self, method: str, path: str, *, read: float = 0, **kwargs: Any) -> Any:
        try:
            return self._answered(method, path, read or self._timeouts.read, kwargs)
        except EngineUnavailableError as exc:
            self.reset()
            self.on_failure(exc)
            raise
        except EngineTimeoutError as exc:
            self.on_failure(exc)
            raise

    def _answered(self, method: str, path: str, read: float, kwargs: Mapping[str, Any]) -> Any:
        api = self._client()
        url = f"{api.base_url}/v{self._version}{path}"
        try:
            response = api.request(method, url, timeout=(self._timeouts.connect, read), **kwargs)
            content = response.content
        except TRANSPORT_ERRORS as exc:
            raise from_exception(exc, self.socket) from exc
        return _answer(response.status_code, content)

    def _client(self) -> docker.APIClient:
        api = self._api
        if api is not None:
            return api
        socket = self.socket
        try:
            api = docker.APIClient(
                base_url=f"unix://{socket}",
                version=_ANY_VERSION,
                timeout=int(self._timeouts.read),
            )
        except TRANSPORT_ERRORS as exc:
            raise EngineUnavailableError(f"no client for {socket} can be made: {exc}") from exc
        size = max(_LEAST_POOL, self._config.pool_size)
        api.mount("http+docker://", _OnePool(socket, timeout=int(self._timeouts.read), max_pool_size=size))
        api.trust_env = False  # else requests looks for proxies and a .netrc, at half the cost of a call
        self._negotiate(api)
        with self._lock:
            if self._api is None:
                self._api = api
                return api
            kept = self._api
        api.close()
        return kept

    def _negotiate(self, api: docker.APIClient) -> None:
        timeout = (self._timeouts.connect, self._timeouts.ping)
        try:
            response = api.request("GET", f"{api.base_url}/_ping", timeout=timeout)
        except TRANSPORT_ERRORS as exc:
            raise from_exception(exc, self.socket) from exc
        _answer(response.status_code, b"" if response.ok else response.content)
        self._version = response.headers.get("Api-Version", _ANY_VERSION)


class _OnePool(UnixHTTPAdapter):
    """docker-py's adapter with one pool for the socket. By itself it makes a pool, and a connection, for every URL."""

    def get_connection(self, url: str | bytes, proxies: Any = None) -> Any:  # noqa: ARG002 - named by docker-py
        """A connection pool, whatever the URL."""
        return super().get_connection("http+docker://localhost", proxies)


def quoted(name: str) -> str:
    """A name or id as one part of a path."""
    return quote(name, safe="/:@")


def _answer(status: int, content: bytes) -> Any:
    if status >= requests.codes.bad_request:
        raise from_answer(status, message_of(content))
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError as exc:
        raise RuntimeFailure(f"the engine's answer is not JSON: {content[:200]!r}") from exc
