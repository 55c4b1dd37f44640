"""What a source remembers over restarts: which folder its root was, and the removals that are held back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from controller.model.identity import Key
from controller.source.listing import RootIdentity

log = structlog.get_logger(__name__)

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Keys whose removal waits for a confirmation, and why."""

    keys: frozenset[Key] = frozenset()
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """The folder that the root was when nothing stood against it (None: not known), and what is held back."""

    root: RootIdentity | None = None
    held_back: HeldBack = field(default_factory=HeldBack)


class MemoryFile:
    """A Memory in a file, replaced atomically; where there is no file, what was given, and nothing is kept."""

    def __init__(self, path: Path | None, given: Memory | None = None) -> None:
        self._path = path
        self._kept = _load(path) if path is not None else given or Memory()

    @property
    def kept(self) -> Memory:
        """What is in the file; an empty memory where it is missing or damaged."""
        return self._kept

    def keep(self, memory: Memory) -> None:
        """Have it in the file; what cannot be written is logged and tried again with the next change."""
        if self._path is None or memory == self._kept:
            return
        draft = self._path.with_name(f".{self._path.name}.new")
        try:
            draft.write_text(json.dumps(_document(memory), indent=1) + "\n")
            draft.replace(self._path)
        except OSError as exc:
            log.warning("source_memory_not_kept", file=str(self._path), error=exc.strerror)
            return
        self._kept = memory


def _load(path: Path) -> Memory:
    try:
        return _memory(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return Memory()
    except (OSError, ValueError, KeyError, TypeError) as exc:
        log.warning("source_memory_lost", file=str(path), error=str(exc))
        return Memory()


def _document(memory: Memory) -> dict[str, Any]:
    held = memory.held_back
    return {
        "version": _VERSION,
        "root": None if memory.root is None else memory.root._asdict(),
        "heldBack": {"cause": held.cause, "keys": [list(key) for key in sorted(held.keys)]},
    }


def _memory(document: dict[str, Any]) -> Memory:
    root, held = document["root"], document["heldBack"]
    identity = None if root is None else RootIdentity(int(root["device"]), int(root["inode"]))
    return Memory(identity, HeldBack(frozenset(Key(*map(str, key)) for key in held["keys"]), str(held["cause"])))
