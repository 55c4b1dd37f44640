"""Every change of the holds: in memory and on disk as one."""

from __future__ import annotations

import threading
from collections.abc import Callable

from controller.model.errors import StateError
from controller.model.hold import Hold
from controller.model.identity import Key
from controller.report.protocol import HoldStore

from .journal import Journal
from .world import World


class Holds:
    """Adds and ends holds. One change at a time, so that the file never falls behind what was promised."""

    def __init__(self, world: World, store: HoldStore, journal: Journal) -> None:
        self._world = world
        self._store = store
        self._journal = journal
        self._lock = threading.Lock()
        self._unsaved = False

    def promise(self, hold: Hold) -> None:
        """Add a hold that somebody asked for. Raises StateError where it cannot be kept: then it does not hold."""
        with self._lock:
            before = self._world.holds(hold.key)
            self._world.add_hold(hold)
            self._save_or_undo(hold.key, before)

    def end(self, key: Key) -> tuple[Hold, ...]:
        """End every hold of a key because somebody asked; what was ended. Raises StateError: then nothing was."""
        with self._lock:
            before = self._world.holds(key)
            ended = self._world.release(key, lambda _: True)
            if ended:
                self._save_or_undo(key, before)
            return ended

    def impose(self, hold: Hold) -> None:
        """Add a hold of enforcement's. It holds even where it cannot be kept: lost, it fires again."""
        with self._lock:
            self._world.add_hold(hold)
            self._save()

    def release(self, key: Key, ends: Callable[[Hold], bool]) -> tuple[Hold, ...]:
        """End those holds of a key whose rule says so; what was ended. A file that cannot be written follows later."""
        with self._lock:
            ended = self._world.release(key, ends)
            if ended:
                self._save()
            return ended

    def save_again(self) -> None:
        """Write what could not be written before, if anything."""
        with self._lock:
            if self._unsaved:
                self._save()

    def _save(self) -> None:
        try:
            self._store.save(self._world.all_holds())
        except StateError as exc:
            self._unsaved = True
            self._journal.failed("holds", exc)
        else:
            self._unsaved = False
            self._journal.recovered("holds")

    def _save_or_undo(self, key: Key, before: tuple[Hold, ...]) -> None:
        try:
            self._store.save(self._world.all_holds())
        except StateError:
            self._world.put_holds(key, before)
            raise
