"""The list of sandboxes as bytes, and as a stream of lists."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final

from controller.report.answers import json_bytes
from controller.report.backend import Backend
from controller.report.render import sandbox_document

KEEP_ALIVE_SECONDS: Final = 10.0

_LOOK_SECONDS: Final = 1.0
_QUIET_SECONDS: Final = 0.1


def list_bytes(backend: Backend, namespace: str | None, version: int) -> bytes:
    """`{"version", "items"}` of one namespace or all."""
    items = [
        sandbox_document(view, backend.history.summary(view.key), backend.output)
        for view in backend.control.sandboxes()
        if namespace in (None, view.key.namespace)
    ]
    return json_bytes({"version": version, "items": items})


def present_version(backend: Backend) -> int:
    """The version that a list read from now on has at least."""
    return backend.control.wait_for_change(0, 0.0)


class Watch:
    """Lines for one watcher: the list at once and after each change, an empty line where nothing changes for long."""

    def __init__(self, backend: Backend, namespace: str | None) -> None:
        self._backend = backend
        self._namespace = namespace
        self._closed = threading.Event()

    def close(self) -> None:
        """End it; within a second."""
        self._closed.set()

    def __iter__(self) -> Iterator[bytes]:
        version, silent = present_version(self._backend), 0.0
        yield self._line(version)
        while not self._closed.wait(_QUIET_SECONDS):  # a burst of changes is one line
            now = self._backend.control.wait_for_change(version, _LOOK_SECONDS)
            silent += _LOOK_SECONDS
            if now != version:
                version, silent = now, 0.0
                yield self._line(version)
            elif silent >= KEEP_ALIVE_SECONDS:
                silent = 0.0
                yield b"\n"

    def _line(self, version: int) -> bytes:
        return list_bytes(self._backend, self._namespace, version) + b"\n"
