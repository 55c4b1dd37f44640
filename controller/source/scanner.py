"""One look at the folder after another: what changed is read, what is missing confirmed, and a snapshot made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from controller.model.clock import Clock
from controller.model.identity import Key
from controller.model.manifest import Document, Fault, PruneBlock, Snapshot
from controller.source.config import SourceConfig
from controller.source.documents import Rules
from controller.source.inbox import Batch
from controller.source.ledger import Ledger, View
from controller.source.listing import Found, Listing, RootIdentity, list_manifests
from controller.source.prune import Absence, Stillness
from controller.source.reader import Reader

log = structlog.get_logger(__name__)


class Scanner:
    """Looks at the folder when told to; files that have not changed since they were read are not opened again.

    `noticed` tells whether the last look found a changed file of which no event had told.
    """

    def __init__(self, config: SourceConfig, rules: Rules, baseline: Mapping[Key, Document], clock: Clock) -> None:
        self.noticed = False
        self._root = config.root
        self._reader = Reader(rules, clock, config.root)
        self._clock = clock
        self._ledger = Ledger(baseline)
        self._absence = Absence()
        self._stillness = Stillness()
        self._identity = _RememberedIdentity(config.identity_file)
        self._first = True
        self._suspect = False

    def scan(self, batch: Batch, faults: tuple[Fault, ...] = ()) -> Snapshot:
        """Look at everything once. Files of the batch are taken as complete; the faults are added to the snapshot."""
        listing = list_manifests(self._root)
        self.noticed = False
        self._suspect = self._suspect or batch.root_gone or listing.identity is None
        view = self._without_root(listing.error) if listing.identity is None else self._visit_all(listing, batch)
        snapshot = self._ledger.settle(replace(view, faults=(*faults, *view.faults)))
        if listing.identity is not None:
            self._first = False
            if not view.undecided:
                self._identity.accept(listing.identity, keep=snapshot.prune is None)
                self._suspect = False
        return snapshot

    def due(self) -> float | None:
        """When the next look is wanted without any event."""
        times = (self._absence.due(), self._stillness.due())
        return min((time for time in times if time is not None), default=None)

    def release(self, block: PruneBlock) -> None:
        """Let go of a confirmed block; the next look shows it."""
        self._ledger.release(block)

    def _without_root(self, error: str) -> View:
        self._absence.observe((), 0.0)
        self._stillness.keep(())
        fault = Fault(str(self._root), 1, 1, error, hint="create it, or make it readable to the daemon")
        return View(faults=(fault,), root_error=error)

    def _visit_all(self, listing: Listing, batch: Batch) -> View:
        now = self._clock.monotonic()
        for file, found in listing.files.items():
            self._visit(file, found, batch, now)
        self._stillness.keep(listing.files)
        known = self._ledger.files
        missing = [file for file in known if file not in listing.files and not listing.hides(file)]
        unread = listing.files.keys() - known.keys()
        gone = self._absence.observe(missing, now, in_doubt=bool(unread))
        for file in gone:
            self._ledger.drop(file)
        faults = tuple(fault for _, fault in sorted(listing.unreadable.items()))
        replaced = self._suspect or not self._identity.accepts(listing.identity)
        pending = self._absence.pending
        return View(pending, undecided=bool(pending) and not gone, faults=faults, replaced=replaced)

    def _visit(self, file: str, found: Found, batch: Batch, now: float) -> None:
        state = self._ledger.files.get(file)
        if file in batch.complete or (found.linked and batch.links):
            self._stillness.forget(file)
            self._read(file, found, whole=True)
        elif state is not None and state.stamp == found.stamp and not state.waiting:
            return
        elif self._first:
            self._read(file, found, whole=False)
            if self._ledger.files[file].waiting:
                self._stillness.stands_still(file, found.stamp, now)
        elif self._stillness.stands_still(file, found.stamp, now):
            self._read(file, found, whole=True)
        else:
            self.noticed = self.noticed or state is None or state.stamp != found.stamp

    def _read(self, file: str, found: Found, whole: bool) -> None:
        read = self._reader.read(self._root / file, file, found)
        if read is not None:
            self._ledger.take(file, read.stamp, read.content, whole and read.whole)


class _RememberedIdentity:
    """Which folder the root was, over restarts where there is a file to keep it in."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known = self._kept = self._load()

    def accepts(self, identity: RootIdentity | None) -> bool:
        """Whether the folder is the one known, or the first."""
        return self._known in (None, identity)

    def accept(self, identity: RootIdentity, keep: bool) -> None:
        """This is the folder from now on; over a restart only if kept, which nothing blocked must stand against."""
        self._known = identity
        if not keep or self._file is None or identity == self._kept:
            return
        try:
            draft = self._file.with_name(f"{self._file.name}.new")
            draft.write_text(f"{identity.device} {identity.inode}\n")
            draft.replace(self._file)
        except OSError as exc:
            log.warning("root_identity_not_kept", file=str(self._file), error=exc.strerror)
        self._kept = identity

    def _load(self) -> RootIdentity | None:
        try:
            device, inode = self._file.read_text().split() if self._file is not None else ("", "")
            return RootIdentity(int(device), int(inode))
        except (OSError, ValueError):
            return None
