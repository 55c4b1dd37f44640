"""Writes what is worth keeping. A full or broken disk is said once and never stops the loop."""

from __future__ import annotations

import threading

import structlog

from controller.model.clock import Clock
from controller.model.errors import StateError
from controller.model.hold import Hold
from controller.model.identity import Key
from controller.model.record import Record, Termination
from controller.model.status import EventRecord, SandboxStatus
from controller.report.protocol import HoldStore, StateStore

log = structlog.get_logger(__name__)


class Journal:
    """The stores behind one face. `fault` tells why writing fails now, or is empty."""

    def __init__(self, store: StateStore, hold_store: HoldStore, clock: Clock) -> None:
        self._store = store
        self._hold_store = hold_store
        self._clock = clock
        self._lock = threading.Lock()
        self.fault = ""

    def save(self, key: Key, record: Record, status: SandboxStatus | None) -> None:
        """Remember one key."""
        try:
            self._store.save(key, record, status)
        except StateError as exc:
            self._failed(exc)
        else:
            self._recovered()

    def forget(self, key: Key) -> None:
        """Forget one key."""
        try:
            self._store.delete(key)
        except StateError as exc:
            self._failed(exc)

    def event(self, key: Key, reason: str, message: str, warning: bool = False) -> None:
        """Something happened to a sandbox."""
        now = self._clock.now()
        kind = "Warning" if warning else "Normal"
        level = log.warning if warning else log.info
        level("event", sandbox=f"{key.namespace}/{key.name}", reason=reason, message=message)
        try:
            self._store.add_event(EventRecord(key, kind, reason, message, at=now, first=now))
        except StateError as exc:
            self._failed(exc)

    def evidence(self, key: Key, uid: str, termination: Termination) -> None:
        """Keep the evidence of an end."""
        try:
            self._store.add_termination(key, uid, termination)
        except StateError as exc:
            self._failed(exc)

    def forget_evidence(self, key: Key) -> None:
        """Expiry deletes what is known of a sandbox's ends."""
        try:
            self._store.forget_terminations(key)
        except StateError as exc:
            self._failed(exc)

    def holds(self, holds: tuple[Hold, ...]) -> None:
        """Replace the holds. Raises StateError: a hold that is not kept must not be promised."""
        with self._lock:
            self._hold_store.save(holds)

    def _failed(self, exc: StateError) -> None:
        if self.fault != str(exc):
            log.error("state_not_saved", error=str(exc))
        self.fault = str(exc)

    def _recovered(self) -> None:
        if self.fault:
            log.info("state_saved_again")
        self.fault = ""
