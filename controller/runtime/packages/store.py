"""Trees of files by their digest, each with the hashes of what is in it: what was changed since is noticed.

A tree appears in one step, whole, and is never changed afterwards: `<digest>/content/` and `<digest>/files.json`.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import structlog

from controller.runtime.keyed_locks import KeyedLocks
from controller.runtime.packages.errors import translated
from controller.runtime.tree import erase_tree

log = structlog.get_logger(__name__)

NEW: Final = ".new-"
_CONTENT: Final = "content"
_FILES: Final = "files.json"
_FORGOTTEN_SECONDS: Final = 3600.0


class TreeStore:
    """For any thread, and for several processes on one folder. Raises RuntimeFailure's subclasses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks = KeyedLocks()

    def have(self, digest: str, fill: Callable[[Path], None]) -> Path:
        """The folder of the tree; filled by the caller, once for all who want it, where it is not there or damaged."""
        with self._locks.held(digest):
            entry = self._folder / digest
            try:
                damage = damage_of(entry)
                if damage:
                    log.warning("package_cache_damaged", path=str(entry), what=damage)
                if damage is not None:
                    erase_tree(str(entry)) if entry.exists() else None
                    self._fill(entry, fill)
                os.utime(entry)
            except OSError as exc:
                raise translated(exc, f"cannot keep packages in {entry}") from exc
            return entry / _CONTENT

    def discard_unused(self, seconds: float) -> int:
        """Delete what nobody has asked for in so many seconds; how many trees. Raises RuntimeFailure."""
        return sum(self._discard(entry, seconds) for entry in self._entries())

    def discard_forgotten(self) -> None:
        """Delete what was begun and never became a tree: its maker was killed."""
        for entry in self._entries(NEW):
            self._discard(entry, _FORGOTTEN_SECONDS)

    def _fill(self, entry: Path, fill: Callable[[Path], None]) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self._folder / f"{NEW}{uuid4()}"
        try:
            content = beside / _CONTENT
            content.mkdir(parents=True)
            fill(content)
            listed = json.dumps(listing_of(content), sort_keys=True, separators=(",", ":"))
            (beside / _FILES).write_text(listed, "utf-8")
            try:
                beside.rename(entry)
            except OSError:
                if damage_of(entry) is not None:  # another process was quicker, and made the same
                    raise
        finally:
            if beside.exists():
                erase_tree(str(beside))

    def _entries(self, prefix: str = "") -> Iterator[Path]:
        try:
            yield from [entry for entry in self._folder.iterdir() if entry.name.startswith(NEW) is bool(prefix)]
        except FileNotFoundError:
            return

    def _discard(self, entry: Path, seconds: float) -> bool:
        with self._locks.held(entry.name):
            try:
                if time.time() - entry.stat().st_mtime <= seconds:
                    return False
                erase_tree(str(entry))
            except FileNotFoundError:
                return False
            except OSError as exc:
                raise translated(exc, f"cannot delete {entry}") from exc
        return True


def discard_old(folder: Path) -> None:
    """Delete what killed processes left in a folder. Raises RuntimeFailure."""
    try:
        for left in list(folder.iterdir()) if folder.exists() else ():
            if time.time() - left.stat().st_mtime > _FORGOTTEN_SECONDS:
                erase_tree(str(left))
    except FileNotFoundError:
        return  # its owner has just ended
    except OSError as exc:
        raise translated(exc, f"cannot clean up {folder}") from exc


def damage_of(entry: Path) -> str | None:
    """What is no longer as it was made, "" where nothing is there; None: it is whole. Raises OSError."""
    try:
        listed: dict[str, Any] = json.loads((entry / _FILES).read_bytes())
    except FileNotFoundError:
        return f"{_FILES} is missing" if entry.exists() else ""
    except ValueError:
        return f"{_FILES} cannot be read"
    found = listing_of(entry / _CONTENT)
    return next((path for path in sorted(listed.keys() | found.keys()) if listed.get(path) != found.get(path)), None)


def listing_of(folder: Path) -> dict[str, list[Any]]:
    """Every file and link below a folder by its path, with mode and SHA-256 (of a link: of where it leads)."""
    found: dict[str, list[Any]] = {}
    for path, entry in files_in(folder):
        status = entry.stat(follow_symlinks=False)
        if entry.is_symlink():
            content = hashlib.sha256(os.fsencode(os.readlink(entry.path)))  # noqa: PTH115 - bytes of it are wanted
            found[path] = ["link", content.hexdigest()]
            continue
        with open(entry.path, "rb") as file:  # noqa: PTH123 - thousands of them
            found[path] = [stat.S_IMODE(status.st_mode), hashlib.file_digest(file, "sha256").hexdigest()]
    return found


def files_in(folder: Path, below: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every entry below a folder that is no folder itself, with its path from there, in the order of names."""
    with os.scandir(folder / below) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        path = f"{below}/{entry.name}" if below else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from files_in(folder, path)
        else:
            yield path, entry
