"""What an instance's folder, and the supervisor's being alive, say of its state."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

from controller.model.identity import instance_name
from controller.model.observed import Exit, InstanceState, Observed
from controller.model.spec import Limits
from controller.runtime.directory import wire
from controller.runtime.directory.inventory import Entry, Inventory
from controller.runtime.directory.record import Run

RUNTIME: Final = "directory"
_KILLED: Final = 137
_SIGKILL: Final = 9
_PAGE: Final = os.sysconf("SC_PAGESIZE")


class Observer:
    """Turns entries into Observed; `workspace_of` gives a sandbox's workspace by its uid."""

    def __init__(self, inventory: Inventory, workspace_of: Callable[[str], str]) -> None:
        self._inventory = inventory
        self._workspace_of = workspace_of

    def observe(self, entry: Entry, is_alive: Callable[[str], bool] = wire.is_alive) -> Observed | None:
        """The instance now, with the limits last asked for; None where it has just been removed.

        A supervisor records an exit before it reaps, so that a run without an exit is alive as long as its supervisor.
        """
        if _is_lost(entry, is_alive):
            again = self._inventory.find(entry.id)  # it may have been recorded just before the supervisor ended
            if again is None:
                return None
            entry = again
        end = entry.exit or (lost_exit(entry.folder, entry.run) if _is_lost(entry, is_alive) and entry.run else None)
        state = _state(entry, end)
        owner = entry.record.owner
        return Observed(
            owner=owner,
            runtime=RUNTIME,
            id=entry.id,
            name=instance_name(owner.instance, owner.key, owner.slot),
            state=state,
            limits=entry.record.limits,
            template=entry.record.template,
            created_at=entry.record.created_at,
            started_at=entry.run.started_at if entry.run else None,
            exit=end,
            pid=entry.run.pid if entry.run and end is None else None,
            has_process=bool(entry.record.command.words),
            path=self._workspace_of(owner.uid),
        )

    def is_up(self, entry: Entry) -> bool:
        """Whether it runs or is paused."""
        return entry.run is not None and entry.exit is None and not _is_lost(entry, wire.is_alive)


def remembering(is_alive: Callable[[str], bool] = wire.is_alive) -> Callable[[str], bool]:
    """`is_alive` that asks once for each supervisor: for one pass over many instances."""
    return cache(is_alive)


def lost_exit(folder: Path, run: Run) -> Exit:
    """The exit of a run whose supervisor is gone: no earlier than its last output, and always the same."""
    try:
        last_sign = (folder / wire.MAIN_LOG).stat().st_mtime
    except OSError:
        last_sign = 0.0
    return Exit(
        code=_KILLED,
        signal=_SIGKILL,
        oom_killed=False,
        finished_at=max(run.started_at, last_sign),
        engine_restarted=True,
        error="its supervisor is gone",
    )


def live_limits(asked: Limits, found: Limits, known: frozenset[str]) -> Limits:
    """The limits in force: as read back where they can be (memory in whole pages), else as asked for."""
    memory = found.memory
    if asked.memory is not None and memory is not None and 0 <= asked.memory - memory < _PAGE:
        memory = asked.memory
    live = {"memory": memory, "cpu": found.cpu, "pids": found.pids}
    return replace(asked, **{name: value for name, value in live.items() if name in known})


def _is_lost(entry: Entry, is_alive: Callable[[str], bool]) -> bool:
    run = entry.run
    return run is not None and run.pid is not None and entry.exit is None and not is_alive(run.supervisor)


def _state(entry: Entry, end: Exit | None) -> InstanceState:
    if entry.run is None:
        return InstanceState.CREATED
    if end is not None:
        return InstanceState.EXITED
    return InstanceState.PAUSED if entry.paused else InstanceState.RUNNING
