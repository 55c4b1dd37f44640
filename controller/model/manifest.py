"""What a source delivers: documents with their origin, faults with their place, and the state of the prune guard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.model.identity import Key
from controller.model.skill import SkillFacts

FieldPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class FieldFault:
    """A fault of one field, before its place in a file is known. `hint` says what would be right.

    `warning` faults do not refuse the document.
    """

    path: FieldPath
    message: str
    hint: str = ""
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault with its place. `warning` faults do not refuse the document."""

    file: str
    line: int
    column: int
    message: str
    field: str = ""
    hint: str = ""
    warning: bool = False

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        what = f"{self.field}: {self.message}" if self.field else self.message
        return f"{where}: {what}" + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True, slots=True)
class Document:
    """One accepted manifest document. `body` is plain JSON data as written, `file` is relative to the watched root.

    `saved_at` is the file's mtime and `seen_at` when it was read, in epoch seconds. Relative paths in the body
    (mounts, the skill) are already absolute, resolved and checked. `skill` is what the skill named in it was then;
    `digest` covers that as well.
    """

    key: Key
    body: Mapping[str, Any]
    file: str
    line: int
    digest: str
    saved_at: float = 0.0
    seen_at: float = 0.0
    skill: SkillFacts | None = None


@dataclass(frozen=True, slots=True)
class PruneBlock:
    """Why removals are held back, which keys would go, and the hash that `prune --confirm` has to name."""

    reason: str
    keys: frozenset[Key]
    hash: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a source knows. `documents` holds good documents and last-known-good ones; a key leaves it only when
    its absence was confirmed. `stale` maps a key served from its last good version to the fault that made it so."""

    documents: Mapping[Key, Document] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    stale: Mapping[Key, Fault] = field(default_factory=dict)
    prune: PruneBlock | None = None
    synced: bool = False
