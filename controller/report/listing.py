"""The list of sandboxes as bytes, once or as a feed of lists."""

from __future__ import annotations

from dataclasses import dataclass

from controller.report.answers import json_bytes
from controller.report.backend import Backend
from controller.report.render import sandbox_document


@dataclass(frozen=True, slots=True)
class SandboxFeed:
    """`{"version", "items"}` of one namespace or all, whole at each change."""

    backend: Backend
    namespace: str | None

    def read(self, _since: int = 0) -> tuple[bytes, int]:
        """The list now, and the version that it has at least."""
        backend, version = self.backend, self.wait(0, 0.0)
        items = [
            sandbox_document(view, backend.history.summary(view.key), backend.private)
            for view in backend.control.sandboxes()
            if self.namespace in (None, view.key.namespace)
        ]
        return json_bytes({"version": version, "items": items}), version

    def wait(self, version: int, timeout: float) -> int:
        """Block until a sandbox has changed since that version, or the timeout; the present version."""
        return self.backend.control.wait_for_change(version, timeout)
