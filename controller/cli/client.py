"""The daemon as the command line sees it: requests over the unix socket in its state folder."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from controller.cli.answer import Answer
from controller.cli.item import Item, Target
from controller.cli.transport import UnixConnection
from controller.config import socket_path
from controller.model.errors import DaemonUnreachableError

# A restart or a plan waits for the engine; the watch stream says something every 10 s.
_PATIENCE: Final = 60.0
_JSON: Final = {"Content-Type": "application/json"}

Query = Mapping[str, str | int | None]


class Daemon:
    """Talks to the daemon of one state folder, a connection for each request.

    Every method raises DaemonUnreachableError where none answers, UsageError for what cannot be meant,
    UnknownSandboxError, and RuntimeFailure or StateError for what the daemon could not do.
    """

    def __init__(self, state_dir: Path, timeout: float = _PATIENCE) -> None:
        self.state_dir = state_dir
        self._timeout = timeout

    def has_socket(self) -> bool:
        """Whether a daemon listens there, or one that died did."""
        try:
            return socket_path(self.state_dir).exists()
        except PermissionError as exc:
            raise self._unreachable(exc) from exc

    def info(self) -> dict[str, Any]:
        """The daemon as a whole."""
        answer: dict[str, Any] = self._json("GET", "/api/v1/daemon")
        return answer

    def sandboxes(self) -> list[Item]:
        """All sandboxes, by namespace and name."""
        return _items(self._json("GET", "/api/v1/sandboxes"))

    def sandbox(self, target: Target) -> Item:
        """One sandbox."""
        return Item(self._json("GET", _path(target)))

    def watch(self, deadline: float | None = None) -> Iterator[list[Item]]:
        """All sandboxes at once and after each change, the same list again as a sign of life, until the deadline.

        The daemon's end, before that, is a DaemonUnreachableError.
        """
        items: list[Item] = []
        with self._open("GET", "/api/v1/sandboxes", query={"watch": "true"}) as answer:
            for line in answer.lines(deadline):
                items = _items(json.loads(line)) if line else items
                yield items
        if deadline is None or time.monotonic() < deadline:
            raise self._ended()

    def terminations(self, target: Target) -> list[dict[str, Any]]:
        """The evidence kept of one sandbox, newest first."""
        found: list[dict[str, Any]] = self._json("GET", _path(target, "terminations"))["items"]
        return found

    def events(
        self, target: Target | None = None, namespace: str | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """The newest events, oldest first: of one sandbox, one namespace, or all."""
        query = _events_of(target, namespace) | {"limit": limit}
        found: list[dict[str, Any]] = self._json("GET", "/api/v1/events", query=query)["items"]
        return found

    def watch_events(
        self, target: Target | None = None, namespace: str | None = None
    ) -> Iterator[list[dict[str, Any]]]:
        """The newest events at once, then each new one as it comes; the daemon's end is a DaemonUnreachableError."""
        query = _events_of(target, namespace) | {"watch": "true"}
        with self._open("GET", "/api/v1/events", query=query) as answer:
            yield from (json.loads(line)["items"] for line in answer.lines() if line)
        raise self._ended()

    def plan(self) -> tuple[list[str], list[str]]:
        """What would be done now, and what stands in the way of more; a line each."""
        answer = self._json("GET", "/api/v1/plan")
        return answer["operations"], answer["faults"]

    def act(self, target: Target, verb: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """suspend, resume, restart, reconcile, delete or restore one sandbox; the daemon's answer."""
        answer: dict[str, Any] = self._json("POST", _path(target, verb), body=body or {})
        return answer

    def reconcile_all(self) -> None:
        """Look at every manifest and sandbox now."""
        self._json("POST", "/api/v1/reconcile", body={})

    def prune(self, hash_: str | None) -> list[str]:
        """Release the blocked removals; what was released."""
        released: list[str] = self._json("POST", "/api/v1/prune", body={"hash": hash_})["released"]
        return released

    def exec(self, target: Target, request: Mapping[str, Any]) -> Generator[dict[str, Any], None, None]:
        """Run a command inside: frames as they come. Closing the iterator ends the command."""
        with self._open("POST", _path(target, "exec"), body=request, forever=True) as answer:
            yield from (json.loads(line) for line in answer.lines() if line)

    def logs(self, target: Target, tail: int | None, follow: bool) -> Generator[bytes, None, None]:
        """The main process's output as it comes."""
        query = {"tail": tail, "follow": "true" if follow else None}
        with self._open("GET", _path(target, "logs"), query=query, forever=follow) as answer:
            yield from answer.chunks()

    def _json(self, method: str, path: str, query: Query | None = None, body: Mapping[str, Any] | None = None) -> Any:
        with self._open(method, path, query=query, body=body) as answer:
            return answer.json()

    @contextlib.contextmanager
    def _open(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Mapping[str, Any] | None = None,
        forever: bool = False,
    ) -> Iterator[Answer]:
        """An answer that is no error. `forever`: silence is no failure of it."""
        given = urlencode({name: value for name, value in (query or {}).items() if value is not None})
        payload = None if body is None else json.dumps(body)
        connection = UnixConnection(socket_path(self.state_dir), self._timeout)
        with contextlib.closing(connection):
            try:
                connection.request(method, f"{path}?{given}" if given else path, payload, _JSON)
                channel = connection.sock
                if forever:
                    channel.settimeout(None)
                answer = Answer(connection.getresponse(), channel)
            except (OSError, http.client.HTTPException) as exc:
                raise self._unreachable(exc) from exc
            if answer.status >= 400:
                raise answer.refusal()
            yield answer

    def _ended(self) -> DaemonUnreachableError:
        return DaemonUnreachableError(f"the daemon on {self.state_dir} ended; start it and ask again")

    def _unreachable(self, exc: Exception) -> DaemonUnreachableError:
        where = socket_path(self.state_dir)
        if isinstance(exc, PermissionError):
            return DaemonUnreachableError(
                f"{where} may not be opened by this user; run the command as the daemon's user (sudo, where it is root)"
            )
        if isinstance(exc, TimeoutError):
            return DaemonUnreachableError(
                f"the daemon on {where} did not answer within {self._timeout:.0f} s; see its log and the doctor"
            )
        if isinstance(exc, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
            return DaemonUnreachableError(
                f"no daemon runs on {self.state_dir}; start one with 'sandkeeper run --state-dir {self.state_dir}',"
                " or name another folder with --state-dir or SANDKEEPER_STATE_DIR"
            )
        return DaemonUnreachableError(f"the daemon on {where} broke off: {exc}; see its log")


def _path(target: Target, verb: str = "") -> str:
    path = f"/api/v1/sandboxes/{quote(target.namespace, safe='')}/{quote(target.name, safe='')}"
    return f"{path}/{verb}" if verb else path


def _events_of(target: Target | None, namespace: str | None) -> dict[str, str | int | None]:
    return {"namespace": target.namespace if target else namespace, "name": target.name if target else None}


def _items(answer: Mapping[str, Any]) -> list[Item]:
    return [Item(document) for document in answer["items"]]
