"""Writes what is worth keeping. A full or broken disk is said once and never stops the loop."""

from __future__ import annotations

import threading

import structlog

from controller.model.clock import Clock
from controller.model.errors import StateError
from controller.model.identity import Key
from controller.model.record import Record, Termination
from controller.model.status import EventRecord, SandboxStatus
from controller.report.protocol import StateStore

log = structlog.get_logger(__name__)


class Journal:
    """The state store as the loop writes to it, and why writing anything fails now."""

    def __init__(self, store: StateStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._faults: dict[str, str] = {}

    @property
    def fault(self) -> str:
        """Why something cannot be written now, or the empty string."""
        with self._lock:
            return "; ".join(self._faults.values())

    def save(self, key: Key, record: Record, status: SandboxStatus | None) -> None:
        """Remember one key."""
        try:
            self._store.save(key, record, status)
        except StateError as exc:
            self.failed("state", exc)
        else:
            self.recovered("state")

    def forget(self, key: Key) -> None:
        """Forget one key."""
        try:
            self._store.delete(key)
        except StateError as exc:
            self.failed("state", exc)

    def event(self, key: Key, reason: str, message: str, warning: bool = False) -> None:
        """Something happened to a sandbox."""
        now = self._clock.now()
        kind = "Warning" if warning else "Normal"
        level = log.warning if warning else log.info
        level("event", sandbox=f"{key.namespace}/{key.name}", reason=reason, message=message)
        try:
            self._store.add_event(EventRecord(key, kind, reason, message, at=now, first=now))
        except StateError as exc:
            self.failed("state", exc)

    def evidence(self, key: Key, uid: str, termination: Termination) -> None:
        """Keep the evidence of an end."""
        try:
            self._store.add_termination(key, uid, termination)
        except StateError as exc:
            self.failed("state", exc)

    def forget_evidence(self, key: Key) -> None:
        """Expiry deletes what is known of a sandbox's ends."""
        try:
            self._store.forget_terminations(key)
        except StateError as exc:
            self.failed("state", exc)

    def failed(self, what: str, exc: StateError) -> None:
        """Something could not be written; said once until it can."""
        with self._lock:
            known = self._faults.get(what)
            self._faults[what] = str(exc)
        if known != str(exc):
            log.error("not_saved", what=what, error=str(exc))

    def recovered(self, what: str) -> None:
        """It was written."""
        with self._lock:
            known = self._faults.pop(what, None)
        if known is not None:
            log.info("saved_again", what=what)
