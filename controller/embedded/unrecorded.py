"""A recorder for where nobody reads metrics."""

from __future__ import annotations

from controller.model.identity import Key


class Unrecorded:
    """Implements Recorder."""

    def reconciled(self, result: str, seconds: float) -> None:
        """Nothing."""

    def operated(self, runtime: str, operation: str, result: str, seconds: float) -> None:
        """Nothing."""

    def ticked(self, seconds: float, overran: bool) -> None:
        """Nothing."""

    def drifted(self, field: str) -> None:
        """Nothing."""

    def changed(self, stage: str, seconds: float) -> None:
        """Nothing."""

    def violated(self, key: Key, resource: str, action: str) -> None:
        """Nothing."""

    def forget(self, key: Key) -> None:
        """Nothing."""
