"""What a folder source is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from controller.source.host_paths import ENGINE_SOCKETS
from controller.source.memory import Memory
from controller.source.protocol import ReadSkill
from controller.source.skills import unread


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """The watched root, what may be mounted from outside it, and how often everything is looked at without an event.

    `engine_sockets` are never mounted, nor is what lies in or above a `forbidden` folder. `memory_file` is where the
    source remembers which folder the root was, so that one replaced while the daemon was down (a volume that was not
    mounted) is noticed, and the removals that are held back; None: it keeps nothing, and begins with `remembered`.
    `read_skill` reads the skills that manifests name.
    """

    root: Path
    allow_paths: tuple[Path, ...] = ()
    rescan_interval: float = 15.0
    engine_sockets: tuple[Path, ...] = ENGINE_SOCKETS
    memory_file: Path | None = None
    remembered: Memory | None = None
    forbidden: tuple[Path, ...] = ()
    read_skill: ReadSkill = unread
