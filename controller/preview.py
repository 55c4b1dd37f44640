"""A plan without a daemon: the same rooms, put together to look once and change nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from controller.bootstrap import (
    SourceMemory,
    make_resolver,
    make_runtimes,
    make_source,
    settings_of,
    shared_by_runtimes,
)
from controller.config import DaemonConfig
from controller.loop.daemon import last_known_good, recall
from controller.loop.intake import Intake
from controller.loop.lock import read_instance
from controller.loop.outlook import Outlook
from controller.loop.survey import preview_of
from controller.loop.world import World
from controller.model.clock import Clock, SystemClock
from controller.model.errors import RuntimeFailure, StateError
from controller.model.observed import InstanceState
from controller.report.holds import JsonHoldStore
from controller.report.protocol import Preview
from controller.report.redaction import SecretRedactor
from controller.report.store import SqliteStore
from controller.runtime.protocol import Runtime
from controller.skill.store import passing_store
from controller.source.memory import MemoryFile

log = structlog.get_logger(__name__)

_COPY_TRIES: Final = 20


def plan_once(config: DaemonConfig, draft: bool = False) -> Preview:
    """What a daemon with this configuration would do now. Changes nothing.

    `draft`: the folder stands for the daemon's, and that it is another counts for nothing. What a daemon remembers is
    read from a copy, so that it may run or not. Raises SandkeeperError.
    """
    with ExitStack() as cleanup:
        clock, world = SystemClock(), World()
        shared = shared_by_runtimes(config, clock, SecretRedactor())
        cleanup.callback(shared.disk.close)
        instance = read_instance(config.state_dir, config.instance)
        _recall_from_copy(config.state_dir, world, clock)
        runtimes = make_runtimes(config, instance, shared)
        for runtime in runtimes.values():
            cleanup.callback(runtime.close)
        remembered = MemoryFile(config.state_dir / "source.json").kept
        remembered = replace(remembered, root=None) if draft else remembered
        skills = cleanup.enter_context(passing_store())
        memory = SourceMemory(last_known_good(world), remembered=remembered)
        snapshot = make_source(config, memory, clock, skills.read).scan_settled()
        Intake(world, make_resolver(settings_of(config)), lambda _: None).receive(snapshot)
        answering = {name: runtime for name, runtime in runtimes.items() if _is_listed(runtime, world)}
        return preview_of(world, Outlook(instance, world, answering, clock, lambda: "", config.cleanup))


def _is_listed(runtime: Runtime, world: World) -> bool:
    """False where it hangs or fails: it is not asked again, key by key. One that is known to be away tells why."""
    if not runtime.capabilities().available:
        return True
    try:
        listed = runtime.list()
    except RuntimeFailure as exc:
        log.warning("list_failed", runtime=runtime.name, error=str(exc))
        return False
    world.list_of(runtime.name, frozenset(seen.owner.key for seen in listed))
    for seen in listed:
        entry = world.entry(seen.owner.key)
        if entry is not None and seen.state is InstanceState.RUNNING:
            world.put(seen.owner.key, replace(entry, recalled=False))  # ready still, for what depends on it
    return True


def _recall_from_copy(state_dir: Path, world: World, clock: Clock) -> None:
    with tempfile.TemporaryDirectory(prefix="sandkeeper-plan-") as folder:
        copy = Path(folder)
        _copy_at_rest([state_dir / name for name in ("state.db", "state.db-wal", "holds.json")], copy)
        store = SqliteStore(copy / "state.db", clock)
        try:
            recall(world, store, JsonHoldStore(copy / "holds.json", clock))
        finally:
            store.close()


def _copy_at_rest(files: Sequence[Path], folder: Path) -> None:
    """Copy files that belong together; again where a daemon wrote meanwhile, so that they fit each other."""
    for _ in range(_COPY_TRIES):
        before = _versions(files)
        for file in before:
            shutil.copy2(file, folder / file.name)
        if _versions(files) == before:
            return
    raise StateError(f"{files[0].parent} is being written all the time; ask its daemon: sandkeeper plan")


def _versions(files: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    found = {}
    for file in files:
        try:
            status = file.stat()
        except FileNotFoundError:
            continue
        found[file] = (status.st_mtime_ns, status.st_size)
    return found
