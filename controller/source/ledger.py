"""What the files declare, who owns a name, and what is served of it: the state behind every snapshot. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from controller.model.identity import Key
from controller.model.manifest import Document, Fault, PruneBlock, Snapshot
from controller.source.documents import FileContent
from controller.source.listing import Stamp
from controller.source.memory import HeldBack
from controller.source.prune import PruneGuard, block_of


@dataclass(slots=True)
class FileState:
    """One file as it was last read.

    `stamp` is None where it is to be read again at the next chance. `claims` are the documents it stands for: those it
    declares, and those it did when it was last good. `stale` names the fault of each claim that is not from the
    present text. `waiting`: some claims are kept only until the file is known to be whole. `emptied` is the fault of a
    file that declares nothing any more, as one does whose writer ran out of disk.
    """

    stamp: Stamp | None = None
    content: FileContent = field(default_factory=FileContent)
    claims: dict[Key, Document] = field(default_factory=dict)
    stale: dict[Key, Fault] = field(default_factory=dict)
    waiting: bool = False
    emptied: Fault | None = None

    def declares(self, key: Key) -> bool:
        """Whether the present text declares the key, or may: it cannot be read."""
        return key in self.content.documents or (key in self.claims and self.content.first_error is not None)


@dataclass(frozen=True, slots=True)
class View:
    """What the present look adds to the ledger: missing files not yet confirmed gone, faults of folders, the root.

    `undecided`: a wave of removals goes on, and nothing is judged before it ends.
    """

    pending: Collection[str] = ()
    undecided: bool = False
    faults: tuple[Fault, ...] = ()
    root_error: str = ""


class Ledger:
    """Files, claims and owners. A key leaves the documents only through the prune guard.

    `baseline` are the last good documents of an earlier run, `held_back` those of them that it held back.
    """

    def __init__(self, baseline: Mapping[Key, Document], held_back: HeldBack | None = None) -> None:
        self.files: dict[str, FileState] = {}
        self._documents: dict[Key, Document] = dict(baseline)
        self._owners: dict[Key, str] = {}
        self._guard = PruneGuard(held_back or HeldBack())
        self._doubted: frozenset[Key] = frozenset()
        for key, document in baseline.items():
            if key in self._guard.held_back.keys:
                continue  # its file is known to have lost it: only a file that is read claims it again
            self.files.setdefault(document.file, FileState()).claims[key] = document
            self._owners[key] = document.file

    @property
    def held_back(self) -> HeldBack:
        """The removals that the guard holds back."""
        return self._guard.held_back

    @property
    def doubts(self) -> bool:
        """Whether there are documents of a former root that the present one has not been seen to declare."""
        return bool(self._doubted)

    def doubt(self) -> None:
        """Another folder stands at the root: what it does not declare is not lost in the ordinary way."""
        self._doubted = frozenset(self._documents)

    def confirm(self, file: str) -> None:
        """The file stands in the present root as it was."""
        if self._doubted:
            self._doubted -= self.files[file].claims.keys()

    def take(self, file: str, stamp: Stamp | None, content: FileContent, whole: bool) -> None:
        """A file was read. `whole`: it was closed, moved into place or stood still, so what is not in it is gone."""
        state = self.files.setdefault(file, FileState())
        present = {key: _kept(state.claims.get(key), document) for key, document in content.documents.items()}
        absent = {key: document for key, document in state.claims.items() if key not in present}
        self._doubted -= present.keys()
        error = content.first_error
        state.emptied = _emptied(file) if absent and not present and error is None and whole else None
        fault = error or state.emptied
        state.stale = {key: content.refused.get(key, fault) for key in absent} if fault is not None else {}
        state.waiting = bool(absent) and fault is None and not whole
        state.claims = present | (absent if fault is not None or state.waiting else {})
        state.stamp, state.content = stamp, content

    def drop(self, file: str) -> None:
        """A file is gone."""
        self.files.pop(file, None)

    def settle(self, view: View) -> Snapshot:
        """Give every name to its owner, judge what is lost, and say what is served now."""
        if view.root_error:
            return self._without_root(view)
        claimed = self._assign()
        lost = frozenset(self._documents.keys() - claimed.keys())
        refused = {key: fault for state in self.files.values() for key, fault in state.content.refused.items()}
        kept_bad = {key: refused[key] for key in lost if key in refused}
        if view.undecided:
            self._guard.lift_all_but(lost)
            going: frozenset[Key] = frozenset()
        else:
            going = self._guard.judge(lost - kept_bad.keys(), len(self._documents), self._doubted)
        self._documents = claimed | {key: self._documents[key] for key in lost - going}
        self._doubted &= self._documents.keys()
        self._owners = {key: owner for key, owner in self._owners.items() if key in self._documents}
        stale = kept_bad | dict(self._stale())
        return Snapshot(dict(self._documents), self._faults(view), stale, self._guard.block(), synced=True)

    def release(self, block: PruneBlock) -> None:
        """Let go of exactly the keys of a block, and of every claim on them."""
        self._guard.forget(block.keys)
        for file, state in self.files.items():
            if not block.keys.isdisjoint(state.claims):  # the root is missing: should it return, the file is read anew
                kept = {key: document for key, document in state.claims.items() if key not in block.keys}
                self.files[file] = FileState(claims=kept)
        self._documents = {key: document for key, document in self._documents.items() if key not in block.keys}

    def _without_root(self, view: View) -> Snapshot:
        keys = frozenset(self._documents)
        stale = {key: fault for key, fault in self._stale() if key in keys}
        block = block_of(keys, view.root_error) if keys else None
        return Snapshot(dict(self._documents), view.faults, stale, block, synced=True)

    def _assign(self) -> dict[Key, Document]:
        """The document of every claimed key: its present owner's while that declares it, else the first claimant's."""
        claimants: dict[Key, list[str]] = {}
        for file, state in self.files.items():
            for key in state.claims:
                claimants.setdefault(key, []).append(file)
        for key, files in claimants.items():
            owner = self._owners.get(key)
            if owner in files and (len(files) == 1 or self.files[owner].declares(key)):
                continue
            declaring = [file for file in files if self.files[file].declares(key)]
            self._owners[key] = min(declaring or files)
        return {key: self.files[self._owners[key]].claims[key] for key in claimants}

    def _stale(self) -> Iterator[tuple[Key, Fault]]:
        for file, state in self.files.items():
            yield from ((key, fault) for key, fault in state.stale.items() if self._owners.get(key) == file)

    def _faults(self, view: View) -> tuple[Fault, ...]:
        found = [*view.faults]
        for file in sorted(file for file, state in self.files.items() if state.content.faults or state.emptied):
            state = self.files[file]
            found.extend(state.content.faults)
            if state.emptied is not None and any(self._owners.get(key) == file for key in state.stale):
                found.append(state.emptied)
        found.extend(self._duplicates(view.pending))
        return tuple(found)

    def _duplicates(self, pending: Collection[str]) -> Iterator[Fault]:
        """A fault for every declaration that is not the owner's; an owner about to go gets no faults made for it."""
        for file, state in self.files.items():
            for key in state.content.documents:
                owner = self._owners.get(key, file)
                if owner == file or owner in pending or file in pending:
                    continue
                first = self._documents[key]
                line, column = state.content.places.get(key, (1, 1))
                message = f"{key} is already declared in {first.file}:{first.line}"
                yield Fault(file, line, column, message, "metadata.name", "rename one of the two, or remove one")


def _kept(former: Document | None, document: Document) -> Document:
    """The former object where nothing changed, so that a touched file is no news."""
    if former is None:
        return document
    same = (former.digest, former.file, former.line) == (document.digest, document.file, document.line)
    return former if same else document


def _emptied(file: str) -> Fault:
    return Fault(
        file, 1, 1, "declares nothing any more; what it declared is kept", hint="to remove it, delete the file"
    )
