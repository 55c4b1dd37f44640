"""Checking manifests without a daemon: the same reading, rules and duplicate checks as the watched folder's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from controller.model.clock import SystemClock
from controller.model.manifest import Fault, Snapshot
from controller.source.documents import Rules
from controller.source.host_paths import HostPathRules
from controller.source.kinds import default_kinds
from controller.source.ledger import Ledger, View
from controller.source.listing import Found, list_manifests, printable
from controller.source.protocol import Admit, ReadSkill
from controller.source.reader import Reader
from controller.source.skills import Skills, unread


def validate_paths(
    paths: Sequence[Path], admit: Admit, allow_paths: Sequence[Path] = (), read_skill: ReadSkill = unread
) -> list[Fault]:
    """Every fault and warning of these files, and of the manifests in these folders, by file and line; see
    `read_paths`.
    """
    faults = read_paths(paths, admit, allow_paths, read_skill).faults
    return sorted(faults, key=lambda fault: (fault.file, fault.line, fault.column))


def read_paths(
    paths: Sequence[Path], admit: Admit, allow_paths: Sequence[Path] = (), read_skill: ReadSkill = unread
) -> Snapshot:
    """What these files, and the manifests in these folders, declare, and what is wrong with them.

    A folder counts as the watched root for the host paths named in it; for a file given by itself that is the working
    directory, or the file's own folder where it lies outside of that. Never raises on what it finds.
    """
    ledger = Ledger({})
    faults: list[Fault] = []
    kinds, skills = default_kinds(), Skills(read_skill, SystemClock())
    for path in paths:
        rules = Rules(kinds, admit, HostPathRules(_root_of(path), tuple(allow_paths)), skills)
        if path.is_dir():
            faults += _read_folder(path, Reader(rules, SystemClock(), path), ledger)
        else:
            faults += _read_one(path, None, Reader(rules, SystemClock(), None), ledger)
    return ledger.settle(View(faults=tuple(faults)))


def _read_folder(folder: Path, reader: Reader, ledger: Ledger) -> Iterator[Fault]:
    listing = list_manifests(folder)
    if listing.error:
        yield Fault(printable(str(folder)), 1, 1, listing.error, hint="check its permissions")
    for unreadable in listing.unreadable.values():
        yield Fault(str(folder / unreadable.file), 1, 1, unreadable.message, hint="check its permissions")
    for file, found in listing.files.items():
        yield from _read_one(folder / file, found, reader, ledger)


def _read_one(path: Path, found: Found | None, reader: Reader, ledger: Ledger) -> Iterator[Fault]:
    name = os.path.normpath(path)
    read = reader.read(path, name, found)
    if read is None:
        yield Fault(printable(name), 1, 1, "there is no such file", hint="give a manifest, or a folder of manifests")
    else:
        ledger.take(name, read.stamp, read.content, whole=True)


def _root_of(path: Path) -> Path:
    if path.is_dir():
        return path
    here = Path.cwd()
    return here if path.resolve().is_relative_to(here) else path.resolve().parent
