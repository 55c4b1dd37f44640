"""Every instance in the state folder, read again only when its folder has changed."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from controller.model.errors import InstanceNotFoundError, NotOwnedError, RuntimeFailure
from controller.model.identity import Key
from controller.model.observed import Exit
from controller.runtime.directory.atomic import read_json
from controller.runtime.directory.record import (
    PAUSED_FILE,
    RECORD_FILE,
    DirectoryRecord,
    Run,
    parse_exit,
    parse_record,
    parse_run,
    translated,
)
from controller.runtime.directory.wire import EXIT_FILE, RUN_FILE

log = structlog.get_logger(__name__)

_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[ab]")
# File times are as fine as the kernel's tick: a change that soon after a reading may leave the same time behind.
_FILE_TIME_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Entry:
    """One instance as its folder has it."""

    id: str
    folder: Path
    record: DirectoryRecord
    run: Run | None
    exit: Exit | None
    paused: bool


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read (None: no record of ours) when the folder had that time; `settled`: any change shows in it."""

    entry: Entry | None
    changed: int
    settled: bool


class Inventory:
    """The instances of ours. One stat for each that has not changed. Callable from any thread."""

    def __init__(self, directories: Path, instance: str) -> None:
        self._directories = directories
        self._instance = instance
        self._lock = threading.Lock()
        self._read: dict[str, _Read] = {}

    def names(self) -> Sequence[str]:
        """The ids that folders are named by, with a record or without. Raises RuntimeFailure."""
        try:
            names = [name for name in os.listdir(self._directories) if _ID.fullmatch(name)]  # noqa: PTH208 - each pass
        except FileNotFoundError:
            names = []
        except OSError as exc:
            raise translated(exc, f"cannot read {self._directories}") from exc
        with self._lock:
            for gone in self._read.keys() - set(names):
                del self._read[gone]
        return names

    def entries(self) -> Sequence[Entry]:
        """All of them. Raises RuntimeFailure where the folder cannot be read; a record that cannot be is logged."""
        return [entry for name in self.names() if (entry := self._ours(name)) is not None]

    def of_key(self, key: Key) -> Sequence[Entry]:
        """Those of one key; of the others only what was not read yet is looked at."""
        found = []
        for name in self.names():
            known = self._read.get(name)
            if known is not None and known.entry is not None and known.entry.record.owner.key != key:
                continue
            entry = self._ours(name)
            if entry is not None and entry.record.owner.key == key:
                found.append(entry)
        return found

    def find(self, id: str) -> Entry | None:
        """One of them; None where there is none. Raises NotOwnedError on another instance's."""
        entry = self._entry(id) if _ID.fullmatch(id) else None
        if entry is not None and entry.record.owner.instance != self._instance:
            raise NotOwnedError(f"{entry.folder} belongs to instance {entry.record.owner.instance}: it is not touched")
        return entry

    def get(self, id: str) -> Entry:
        """One of them. Raises InstanceNotFoundError, NotOwnedError."""
        entry = self.find(id)
        if entry is None:
            raise InstanceNotFoundError(f"no directory sandbox {id}")
        return entry

    def _ours(self, id: str) -> Entry | None:
        entry = self._entry(id)
        return entry if entry is not None and entry.record.owner.instance == self._instance else None

    def _entry(self, id: str) -> Entry | None:
        folder = f"{self._directories}/{id}"
        now = time.time()
        try:
            changed = os.stat(folder).st_mtime_ns  # noqa: PTH116 - half the cost, for each of hundreds
        except OSError:
            return None
        known = self._read.get(id)
        if known is not None and known.settled and known.changed == changed:
            return known.entry
        try:
            entry, settled = _read_entry(id, Path(folder)), now - changed / 1e9 > _FILE_TIME_SECONDS
        except OSError as exc:
            log.warning("directory_unreadable", path=folder, error=str(exc))
            entry, settled = None, False  # there may be a descriptor for it the next time
        read = _Read(entry, changed, settled)
        with self._lock:
            self._read[id] = read
        return read.entry


def _read_entry(id: str, folder: Path) -> Entry | None:
    """None while it is being made or removed, or where what is there is not ours. Raises OSError."""
    try:
        body = read_json(f"{folder}/{RECORD_FILE}")
        if body is None:
            return None
        record = parse_record(body)
        run = parse_run(read_json(f"{folder}/{RUN_FILE}"))
        end = parse_exit(read_json(f"{folder}/{EXIT_FILE}"), run)
    except (KeyError, TypeError, ValueError) as exc:
        log.warning("directory_unreadable", path=str(folder), error=str(exc))
        return None
    return Entry(id, folder, record, run, end, (folder / PAUSED_FILE).exists())


def refuse_unreadable(folder: Path) -> None:
    """Raises RuntimeFailure where a record is there that cannot be read: then nobody knows whose the folder is."""
    if (folder / RECORD_FILE).exists():
        raise RuntimeFailure(f"{folder / RECORD_FILE} cannot be read: move {folder} away, then it is made anew")
