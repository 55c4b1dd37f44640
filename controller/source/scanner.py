"""One look at the folder after another: what changed is read, what is missing confirmed, and a snapshot made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import structlog

from controller.model.clock import Clock
from controller.model.identity import Key
from controller.model.manifest import Document, Fault, PruneBlock, Snapshot
from controller.source.config import SourceConfig
from controller.source.documents import Rules
from controller.source.inbox import Batch
from controller.source.ledger import FileState, Ledger, View
from controller.source.listing import Found, Listing, RootIdentity, Stamp, list_manifests
from controller.source.memory import Memory, MemoryFile
from controller.source.prune import Absence, Stillness
from controller.source.reader import Reader
from controller.source.skills import SkillUse

log = structlog.get_logger(__name__)


class Scanner:
    """Looks at the folder when told to; files that have not changed since they were read are not opened again.

    `noticed` tells whether the last look found a changed file of which no event had told.
    """

    def __init__(self, config: SourceConfig, rules: Rules, baseline: Mapping[Key, Document], clock: Clock) -> None:
        self.noticed = False
        self._root = config.root
        self._reader = Reader(rules, clock, config.root)
        self._skills = rules.skills
        self._clock = clock
        self._memory = MemoryFile(config.memory_file, config.remembered)
        self._known_root = self._memory.kept.root
        self._ledger = Ledger(baseline, self._memory.kept.held_back)
        self._absence = Absence()
        self._stillness = Stillness()
        self._skill_folders: frozenset[str] = frozenset()
        self._unsettled: dict[str, Stamp] = {}
        self._first = True
        self._suspect = False

    def scan(self, batch: Batch, faults: tuple[Fault, ...] = ()) -> Snapshot:
        """Look at everything once. Files of the batch are taken as complete; the faults are added to the snapshot."""
        self._skills.look(at_once=self._first)
        listing = list_manifests(self._root, self._skill_folders)
        self.noticed = False
        self._suspect = self._suspect or batch.root_gone or listing.identity is None
        if listing.identity is not None:
            self._accept(listing.identity)
        view = self._without_root(listing.error) if listing.identity is None else self._visit_all(listing, batch)
        snapshot = self._ledger.settle(replace(view, faults=(*faults, *view.faults)))
        self._first = self._first and listing.identity is None
        self._keep_skills()
        self._remember(nothing_blocked=snapshot.prune is None)
        return snapshot

    def due(self) -> float | None:
        """When the next look is wanted without any event."""
        times = (self._absence.due(), self._stillness.due(), self._skills.due())
        return min((time for time in times if time is not None), default=None)

    def skills(self) -> list[SkillUse]:
        """The skills that the manifests name, good and bad."""
        return [use for state in self._ledger.files.values() for use in state.content.skills]

    def release(self, block: PruneBlock) -> None:
        """Let go of a confirmed block; the next look shows it."""
        self._ledger.release(block)

    def _accept(self, identity: RootIdentity) -> None:
        """This is the root from now on; what another declared is in doubt until this one is seen to declare it."""
        if self._suspect or self._known_root not in (None, identity):
            self._ledger.doubt()
        self._known_root, self._suspect = identity, False

    def _remember(self, nothing_blocked: bool) -> None:
        """A root is remembered over restarts only once nothing that is blocked or in doubt stands against it."""
        root = self._known_root if nothing_blocked and not self._ledger.doubts else self._memory.kept.root
        self._memory.keep(Memory(root, self._ledger.held_back))

    def _without_root(self, error: str) -> View:
        self._absence.observe((), 0.0)
        self._stillness.keep(())
        fault = Fault(str(self._root), 1, 1, error, hint="create it, or make it readable to the daemon")
        return View(faults=(fault,), root_error=error)

    def _visit_all(self, listing: Listing, batch: Batch) -> View:
        now = self._clock.monotonic()
        # What has become a file of a skill is kept as it was: only a manifest that is gone is.
        kept = {file: found for file, found in listing.in_skills.items() if self._declares(file)}
        files = listing.files | kept
        for file, found in files.items():
            self._visit(file, found, batch, now)
        self._stillness.keep(files)
        self._unsettled = {file: stamp for file, stamp in self._unsettled.items() if file in files}
        known = self._ledger.files
        missing = [file for file in known if file not in files and not listing.hides(file)]
        unread = files.keys() - known.keys() - self._unsettled.keys()
        gone = self._absence.observe(missing, now, in_doubt=bool(unread))
        for file in gone:
            self._ledger.drop(file)
        faults = tuple(fault for _, fault in sorted(listing.unreadable.items()))
        pending = self._absence.pending
        return View(pending, undecided=bool(pending) and not gone, faults=faults)

    def _visit(self, file: str, found: Found, batch: Batch, now: float) -> None:
        state = self._ledger.files.get(file)
        is_complete = file in batch.complete or (found.linked and batch.links)
        is_complete = is_complete or self._unsettled.get(file) == found.stamp
        if is_complete or self._is_refused_anew(state, found):
            self._stillness.forget(file)
            self._read(file, found, whole=True)
        elif state is not None and state.stamp == found.stamp and not state.waiting:
            if self._skills.have_changed(state.content.skills):
                self._read(file, found, whole=True)
            else:
                self._ledger.confirm(file)
        elif self._first:
            self._read(file, found, whole=False)
            state = self._ledger.files.get(file)  # none: it went between the listing and now
            if state is not None and state.waiting:
                self._stillness.stands_still(file, found.stamp, now)
        elif self._stillness.stands_still(file, found.stamp, now):
            self._read(file, found, whole=True)
        else:
            self.noticed = self.noticed or state is None or state.stamp != found.stamp

    def _read(self, file: str, found: Found, whole: bool) -> None:
        read = self._reader.read(self._root / file, file, found)
        self._unsettled.pop(file, None)
        if read is not None and not read.content.settled:
            self._unsettled[file] = found.stamp  # as it was, until its skill has come to rest
        elif read is not None:
            self._ledger.take(file, read.stamp, read.content, whole and read.whole)

    def _keep_skills(self) -> None:
        """A folder that was found to be a skill's is one while a manifest names it, whatever becomes of its files."""
        uses = self.skills()
        self._skills.keep(uses)
        good = {use.stamp.real for use in uses if use.good}
        self._skill_folders = frozenset(
            use.stamp.real for use in uses if use.stamp.real in good | self._skill_folders and not use.refused
        )

    def _declares(self, file: str) -> bool:
        state = self._ledger.files.get(file)
        return state is not None and bool(state.claims)

    def _is_refused_anew(self, state: FileState | None, found: Found) -> bool:
        """Whether a file is refused by where it lies now, though it is what it was."""
        if state is None or state.stamp != found.stamp:
            return False
        first = state.content.first_error
        return bool(found.problem) and (first is None or first.message != found.problem)
