"""A folder of manifests as a source: watched, with a rescan as backstop, by one thread that owns all state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from controller.model.clock import Clock
from controller.model.errors import StateError
from controller.model.identity import Key
from controller.model.manifest import Document, Fault, Snapshot
from controller.source.config import SourceConfig
from controller.source.documents import Rules
from controller.source.host_paths import HostPathRules
from controller.source.inbox import Batch, Inbox
from controller.source.kinds import default_kinds
from controller.source.listing import identify
from controller.source.looks import Looks
from controller.source.protocol import Admit
from controller.source.prune import check_confirmation
from controller.source.scanner import Scanner
from controller.source.skills import Skills
from controller.source.watch import FolderWatch

__all__ = ["FolderSource", "SourceConfig"]

log = structlog.get_logger(__name__)

_SETTLING_SECONDS: Final = 2.5
ROOT_CHECK: Final = 1.0
"""Seconds between two looks at whether the root is still the same folder: of its replacement no event tells."""
STOP_SECONDS: Final = 2.0
"""Seconds that a stop waits for a look that goes on."""
CONFIRM_SECONDS: Final = 10.0
"""Seconds that a confirmation waits for a look that goes on."""
POLL: Final = 1.0
"""Seconds between two rescans where changes cannot be watched."""


class FolderSource:
    """A ManifestSource over one folder and all below it.

    `baseline` are the last good documents of an earlier run. `make_observer` may raise OSError, and so may the
    observer's `schedule` and `start`: the folder is then polled, and a warning among the faults says so.
    """

    def __init__(
        self,
        config: SourceConfig,
        admit: Admit,
        baseline: Mapping[Key, Document],
        clock: Clock,
        make_observer: Callable[[], BaseObserver] = Observer,
    ) -> None:
        self._config = config
        self._clock = clock
        host_paths = HostPathRules(config.root, config.allow_paths, config.engine_sockets, config.forbidden)
        rules = Rules(default_kinds(), admit, host_paths, Skills(config.read_skill, clock))
        self._scanner = Scanner(config, rules, baseline, clock)
        self._looks = Looks(config.root, clock)
        self._inbox = Inbox(clock)
        self._watch = FolderWatch(self._inbox, make_observer)
        self._lock = threading.Lock()
        self._snapshot = Snapshot(dict(baseline))
        self._changed: Callable[[Snapshot], None] = lambda _: None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._undelivered = False
        self._next_rescan = self._next_check = self._next_attempt = clock.monotonic()

    def start(self, changed: Callable[[Snapshot], None]) -> None:
        """Begin in a thread of its own, which calls `changed` with the first snapshot and with each later one."""
        self._changed = changed
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)
        self._thread.start()

    def scan_once(self) -> Snapshot:
        """Look once, in the caller's thread and without watching: for a plan, a check or a measurement."""
        with self._lock:
            self._snapshot = self._scanner.scan(Batch())
        return self._snapshot

    def scan_settled(self) -> Snapshot:
        """Look, in the caller's thread, until each absence is confirmed or refuted: within about two seconds."""
        snapshot, end = self.scan_once(), self._clock.monotonic() + _SETTLING_SECONDS
        while (due := self._scanner.due()) is not None and self._clock.monotonic() < end:
            self._clock.wait(threading.Event(), max(0.0, due - self._clock.monotonic()))
            snapshot = self.scan_once()
        return snapshot

    def snapshot(self) -> Snapshot:
        """The present snapshot; before the first look the baseline, not synced."""
        return self._snapshot

    def confirm_prune(self, hash_: str | None) -> frozenset[str]:
        """Release the blocked removals with that hash (None: any); `namespace/name` of each.

        Raises UsageError, and StateError where the folder does not answer.
        """
        if not self._lock.acquire(timeout=CONFIRM_SECONDS):
            raise StateError(self._looks.trouble() or f"{self._config.root} is being looked at; try again")
        try:
            block = self._snapshot.prune
            keys = check_confirmation(block, hash_)
            if block is not None:
                self._scanner.release(block)
        finally:
            self._lock.release()
        log.info("prune_confirmed", keys=sorted(map(str, keys)))
        self.rescan()
        return frozenset(f"{key.namespace}/{key.name}" for key in keys)

    def rescan(self) -> None:
        """Have everything looked at now."""
        self._inbox.changed()

    def alive(self) -> bool:
        """Whether the thread lives, once it was started; a folder that does not answer is no death of it."""
        return self._thread is None or self._thread.is_alive()

    def trouble(self) -> str:
        """Why edits are not seen, and what to do; the empty string where they are."""
        return self._looks.trouble()

    def stop(self) -> None:
        """End watching, and wait for the thread, but not for a folder that does not answer."""
        self._stopping = True
        self._inbox.wake.set()
        if self._thread is None or self._thread is threading.current_thread():
            return
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            log.warning("manifest_scan_left", root=str(self._config.root), seconds=STOP_SECONDS)

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._watch.end()

    def _turn(self) -> None:
        """Look if it is time to, then wait for the next time or an event."""
        self._inbox.wake.clear()
        self._looks.begin()
        try:
            self._look_if_due(self._clock.monotonic())
        except Exception as exc:
            log.exception("manifest_scan_failed", root=str(self._config.root))
            self._next_rescan = self._clock.monotonic() + POLL
            self._looks.judge(f"{type(exc).__name__}: {exc}")
        finally:
            self._looks.end()
        times = (self._next_rescan, self._next_check, self._inbox.due(), self._scanner.due())
        due = min(time for time in times if time is not None)
        if not self._stopping:
            self._clock.wait(self._inbox.wake, max(0.0, due - self._clock.monotonic()))

    def _look_if_due(self, now: float) -> None:
        batch = self._inbox.collect(now)
        periodic = now >= self._next_rescan
        awaited = self._scanner.due()
        if batch is not None or periodic or (awaited is not None and now >= awaited) or self._root_moved(now):
            self._look(batch or Batch(), periodic)

    def _root_moved(self, now: float) -> bool:
        """Whether another folder, or none, stands at the root than the one that is watched."""
        if now < self._next_check:
            return False
        self._next_check = now + ROOT_CHECK
        return not self._watch.covers(identify(self._config.root))

    def _look(self, batch: Batch, periodic: bool) -> None:
        covered = self._keep_watch(periodic)
        problem, hint = self._watch.problem, self._watch.hint
        faults = (Fault(str(self._config.root), 1, 1, problem, hint=hint, warning=True),) if problem else ()
        with self._lock:
            before, after = self._snapshot, self._scanner.scan(batch, faults)
            self._snapshot = after
            skills = {use.stamp.real for use in self._scanner.skills() if not use.refused}
            self._undelivered = self._undelivered or after != before
        self._watch.follow(skills)
        if periodic and covered and self._scanner.noticed:
            log.info("watch_missed_changes", root=str(self._config.root))
            self._watch.end()
        interval = self._config.rescan_interval
        watching = self._watch.covers(identify(self._config.root)) and not self._watch.problem
        self._next_rescan = self._clock.monotonic() + (interval if watching else min(interval, POLL))
        if after != before:
            _log_difference(before, after)
        self._looks.judge("")
        if self._undelivered:
            self._deliver(after)

    def _keep_watch(self, periodic: bool) -> bool:
        """See to it that the folder at the root is the one watched; whether it was already."""
        identity, now = identify(self._config.root), self._clock.monotonic()
        if self._watch.covers(identity):
            if periodic:
                self._watch.check_limits()
            return True
        if identity is None:
            self._watch.end()
        elif not self._watch.problem or now >= self._next_attempt:
            self._next_attempt = now + self._config.rescan_interval
            self._watch.begin(self._config.root, identity)
        return False

    def _deliver(self, snapshot: Snapshot) -> None:
        """One that is not taken is delivered again after the next look, which comes soon."""
        try:
            self._changed(snapshot)
            self._undelivered = False
        except Exception:
            log.exception("snapshot_not_taken")
            self._next_rescan = self._clock.monotonic() + POLL


def _log_difference(before: Snapshot, after: Snapshot) -> None:
    """Tell of faults that are new, and of a block that begins, changes or ends."""
    known = frozenset(before.faults)
    for fault in after.faults:
        if fault not in known:
            tell = log.warning if not fault.warning else log.info
            tell("manifest_fault", place=f"{fault.file}:{fault.line}:{fault.column}", fault=str(fault))
    if after.prune is not None and after.prune != before.prune:
        confirm = f"sandkeeper prune --confirm {after.prune.hash}"
        log.error("prune_blocked", reason=after.prune.reason, keys=len(after.prune.keys), release_with=confirm)
    elif before.prune is not None and after.prune is None:
        log.info("prune_unblocked")
