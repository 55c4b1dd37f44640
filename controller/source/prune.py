"""Whether what is lost may go: confirmation of absence, and the guard against losing most of everything at once."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Final

from controller.model.errors import UsageError
from controller.model.identity import Key
from controller.model.manifest import PruneBlock
from controller.source.memory import HeldBack

SECOND_LOOK: Final = 0.1
"""Seconds between the two looks that a file has to be missing from."""
LONGEST_WAIT: Final = 2.0
"""Seconds after which a wave of removals is judged although it still goes on."""
STILL_FOR: Final = 1.0
"""Seconds for which a file that was not seen closed must stand unchanged."""
FREE_LOSSES: Final = 3
"""So many may go at once however few there are."""


def hash_of(keys: Iterable[Key]) -> str:
    """The 8 hex digits by which a blocked set is confirmed."""
    return hashlib.sha256("\n".join(sorted(map(str, keys))).encode()).hexdigest()[:8]


def block_of(keys: frozenset[Key], reason: str) -> PruneBlock:
    """A block over these keys, with the hash to confirm it by."""
    return PruneBlock(reason, keys, hash_of(keys))


class Absence:
    """Files that are missing, until two looks agree. A wave of removals is confirmed together, to be judged as one."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._in_doubt = False

    @property
    def pending(self) -> frozenset[str]:
        """Missing files that are not yet confirmed."""
        return frozenset(self._since)

    def observe(self, missing: Iterable[str], now: float, in_doubt: bool = False) -> frozenset[str]:
        """Take note of what a look missed; the files that are confirmed gone, which are then forgotten.

        `in_doubt`: there are files not read yet, and what is missing may stand in one of them.
        """
        self._since = {file: self._since.get(file, now) for file in missing}
        self._in_doubt = in_doubt
        due = self.due()
        if due is None or (now < due and now < min(self._since.values()) + LONGEST_WAIT):
            return frozenset()
        gone = frozenset(file for file, since in self._since.items() if now >= since + SECOND_LOOK)
        self._since = {file: since for file, since in self._since.items() if file not in gone}
        return gone

    def due(self) -> float | None:
        """When the next look is wanted."""
        if not self._since:
            return None
        if self._in_doubt:
            return min(self._since.values()) + LONGEST_WAIT
        return max(self._since.values()) + SECOND_LOOK


class PruneGuard:
    """Holds removals back when too much is lost at once, until they are confirmed or the documents come back.

    `held_back` is what an earlier run held back: a restart confirms nothing.
    """

    def __init__(self, held_back: HeldBack) -> None:
        self._blocked = held_back.keys
        self._cause = held_back.cause

    @property
    def held_back(self) -> HeldBack:
        """What is held back now."""
        return HeldBack(self._blocked, self._cause if self._blocked else "")

    def judge(self, lost: frozenset[Key], declared: int, doubted: frozenset[Key] = frozenset()) -> frozenset[Key]:
        """Which lost keys may go. `declared`: keys before the loss; `doubted`: those of a root that was replaced.

        Whatever is no longer lost is unblocked.
        """
        self.lift_all_but(lost)
        fresh = lost - self._blocked
        present = declared - len(self._blocked)
        if len(fresh) > FREE_LOSSES and 2 * len(fresh) > present:
            self._hold_back(fresh, "more than half went at once")
        self._hold_back(fresh & doubted, "the watched folder was replaced")
        return fresh - self._blocked

    def _hold_back(self, keys: frozenset[Key], cause: str) -> None:
        if keys:
            self._blocked, self._cause = self._blocked | keys, cause

    def lift_all_but(self, lost: frozenset[Key]) -> None:
        """Unblock what is declared again."""
        self._blocked &= lost

    def block(self) -> PruneBlock | None:
        """The block in force."""
        if not self._blocked:
            return None
        return block_of(self._blocked, f"{self._cause}, and {len(self._blocked)} are no longer declared")

    def forget(self, keys: frozenset[Key]) -> None:
        """These were released."""
        self._blocked -= keys


def check_confirmation(block: PruneBlock | None, hash_: str | None) -> frozenset[Key]:
    """The keys that a confirmation releases. Raises UsageError where it does not fit what is blocked."""
    if block is None:
        raise UsageError("no removal is blocked: there is nothing to confirm")
    if hash_ is not None and hash_ != block.hash:
        raise UsageError(f"the blocked set is {block.hash} by now, not {hash_}: look at it again before confirming")
    return block.keys


class Stillness:
    """Files that changed without being seen closed or moved into place, until they have stood still for a second."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[object, float]] = {}

    def stands_still(self, file: str, stamp: object, now: float) -> bool:
        """Take note of a file's stamp; True once it has been the same for a second, which ends the watch over it."""
        seen, since = self._since.get(file, (None, now))
        if seen != stamp:
            self._since[file] = (stamp, now)
            return False
        if now < since + STILL_FOR:
            return False
        del self._since[file]
        return True

    def forget(self, file: str) -> None:
        """The file was read."""
        self._since.pop(file, None)

    def keep(self, files: Collection[str]) -> None:
        """Forget all files but these."""
        self._since = {file: since for file, since in self._since.items() if file in files}

    def due(self) -> float | None:
        """When the next look is wanted."""
        return min(since for _, since in self._since.values()) + STILL_FOR if self._since else None
