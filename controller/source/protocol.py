"""The seam between the loop and where manifests come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from controller.model.manifest import FieldFault, Snapshot
from controller.model.skill import SkillFacts, SkillRead

Admit = Callable[[dict[str, Any], SkillFacts | None], Sequence[FieldFault]]
"""Checks a document that is valid by schema, and what is known of the skill that it names, beyond what a schema can
say; an answer without faults other than warnings admits it."""

ReadSkill = Callable[[Path, str], SkillRead]
"""Reads the skill at an absolute real path, `strict` or `lenient`. Raises SandkeeperError, which tells the place in it
and what would be right."""


class ManifestSource(Protocol):
    """Delivers snapshots. Never raises on a manifest: what is wrong with one is a Fault in the snapshot."""

    def start(self, changed: Callable[[Snapshot], None]) -> None:
        """Begin in a thread of its own, which calls `changed` with the first snapshot and with each later one."""

    def snapshot(self) -> Snapshot:
        """The present snapshot."""

    def confirm_prune(self, hash_: str | None) -> frozenset[str]:
        """Release the blocked removals with that hash (None: whatever is blocked now); the released keys as text.

        Raises UsageError where nothing is blocked, or the set has another hash by now; StateError where the folder does
        not answer.
        """

    def rescan(self) -> None:
        """Look at everything now; any change is delivered through `changed`."""

    def alive(self) -> bool:
        """Whether it looks, or waits for its folder to answer; False only where its thread has died."""

    def trouble(self) -> str:
        """Why edits are not seen, and what to do; the empty string where they are."""

    def stop(self) -> None:
        """End watching and its threads; a folder that does not answer holds it up for seconds at most."""
