"""Remembers where a key stands, and shows it: the record and status in the store, the entry in the world."""

from __future__ import annotations

from dataclasses import replace

import structlog

from controller.model.errors import RuntimeFailure
from controller.model.identity import Key
from controller.model.observed import ContractRow, Observed
from controller.model.record import Record
from controller.model.spec import Desired
from controller.plan.cast import UP
from controller.plan.dependencies import dependents_of
from controller.plan.exits import RESTART
from controller.plan.status import Known, not_ready, status_of
from controller.plan.view import Plan, View

from .collaborators import Collaborators
from .outlook import dependencies_in
from .world import Entry

log = structlog.get_logger(__name__)


class Keeper:
    """Used by the worker of a key, for that key."""

    def __init__(self, collaborators: Collaborators) -> None:
        self._with = collaborators
        self._world = collaborators.world

    def keep(self, view: View, record: Record, plan: Plan, failure: tuple[str, str] | None = None) -> None:
        """Remember and show where the key stands."""
        before = self._world.entry(view.key)
        desired = view.desired
        running = next((seen for seen in view.observed if seen.state in UP), None)
        contract, contract_of = self._contract(before, running, desired)
        known = Known(
            previous=before.status if before else None,
            usage=before.usage if before else None,
            contract=contract,
            stale=self._world.stale(view.key),
            failure=failure,
            workspace=self._with.workspaces.path(record.uid),
        )
        status = status_of(replace(view, holds=self._world.holds(view.key)), record, plan.verdict, known)
        entry = Entry(record, status, view.observed, contract, contract_of, known.usage if running else None, failure)
        entry = self._put(view, entry)
        self._with.journal.save(view.key, record, entry.status)
        if before is None or before.ready != entry.ready:
            for dependent in dependents_of(view.key, self._world.declared()):
                self._with.wake(dependent)

    def standing_failure(self, view: View) -> tuple[str, str] | None:
        """What failed last stands until it has succeeded; an edit is another matter."""
        before = self._world.entry(view.key)
        return before.failure if before and before.record.generation == view.record.generation else None

    def forget(self, key: Key, record: Record) -> None:
        """Nothing is left of it: remember and show it no more; what it depended on may go now."""
        self._with.journal.forget(key)
        self._with.executor.forgo(key)
        self._with.holds.release(key, lambda _: True)
        self._world.forget(key)
        self._with.recorder.forget(key)
        for dependency in dependencies_in(record, key):
            self._with.wake(dependency)

    def _put(self, view: View, entry: Entry) -> Entry:
        """Show it; not as Ready where a restart was asked for since the pass began."""
        with self._world.atomically():
            pending = self._world.intent(view.key)
            if pending is not None and pending is not view.intent and pending.verb == RESTART and entry.status:
                status = not_ready(entry.status, "Restarting", pending.cause, self._with.clock.now())
                entry = replace(entry, status=status)
            present = self._world.entry(view.key)
            if present is not None and entry.usage is not None:
                entry = replace(entry, usage=present.usage)
            self._world.put(view.key, entry)
            return entry

    def _contract(
        self, before: Entry | None, running: Observed | None, desired: Desired | None
    ) -> tuple[tuple[ContractRow, ...], str]:
        if running is None or desired is None:
            return (), ""
        of = f"{running.run}/{running.limits}/{desired.resolved_hash}"
        if before is not None and before.contract_of == of:
            return before.contract, of
        try:
            return self._with.runtimes[running.runtime].contract(running, desired.spec), of
        except RuntimeFailure as exc:
            log.warning("contract_unread", error=str(exc))
            return (), ""
        except Exception:  # it reads what a sandbox has a hand in, and no pass may end by that
            log.exception("contract_unreadable")
            return (), ""
