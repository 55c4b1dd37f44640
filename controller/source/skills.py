"""The skills that manifests name: whether one has changed since it was read, and read again only then."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from controller.model.clock import Clock
from controller.model.errors import DiskFullError, SandkeeperError, StateError
from controller.model.skill import SkillFacts, SkillRead, is_passed_over
from controller.source.listing import SKILL_FILES
from controller.source.protocol import ReadSkill

SETTLED: Final = 1.0
"""Seconds for which nothing in a skill may have changed before it is taken: until then it may be half written."""
PATIENCE: Final = 10.0
"""Seconds after which a skill that never comes to rest is taken all the same, and then again."""
POLL: Final = 1.0
"""Seconds between two looks for a skill that is not there: outside of the watched folder no event tells of it."""
MOST_ENTRIES: Final = 10_000
"""Files and folders of a skill that are looked at: more are more than a skill may have."""

PASSING: Final = (StateError, DiskFullError)
"""What is wrong with the machine and not with the skill: it is tried again with the next look."""

_Change = tuple[str, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Stamp:
    """How a skill stood at a look. `real` is where its path led, `content` changes with anything in it.

    `newest` is when something in it changed last (epoch seconds); None where there is nothing.
    """

    real: str
    content: int
    newest: float | None


@dataclass(frozen=True, slots=True)
class SkillUse:
    """A skill as a manifest names it, and how it stood when that was read. `written` is absolute, symlinks unresolved.

    `settled` is False where it may be half written: it was not read then. `refused`: it may not be looked into. `good`:
    it was found to be a skill.
    """

    written: Path
    stamp: Stamp
    settled: bool = True
    refused: bool = False
    good: bool = False


@dataclass(frozen=True, slots=True)
class _Kept:
    stamp: Stamp
    read: SkillRead | SandkeeperError


class Skills:
    """For one thread. `look` begins a look, in which each skill is looked at once."""

    def __init__(self, read: ReadSkill, clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._at_once = True
        self._stamps: dict[Path, Stamp] = {}
        self._settled: dict[Path, bool] = {}
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._restless: dict[Path, float] = {}
        self._due: list[float] = []

    def look(self, at_once: bool) -> None:
        """Everything may have changed. `at_once`: what is there is taken as it is."""
        self._at_once = at_once
        self._stamps.clear()
        self._settled.clear()
        self._due.clear()

    def use(self, written: Path) -> SkillUse:
        """The skill of that path as it stands now."""
        stamp = self._stamp(written)
        return SkillUse(written, stamp, self._is_settled(written, stamp))

    def place(self, written: Path) -> str:
        """The real path of the skill, or where it would be."""
        return _real(written)

    def refuse(self, written: Path) -> SkillUse:
        """A skill that may not be had: only where its path leads is looked at."""
        return SkillUse(written, _place(written), refused=True)

    def read(self, use: SkillUse, validation: str) -> SkillRead:
        """What it says. Raises SandkeeperError; one that may pass by itself only for this look."""
        name = (use.stamp.real, validation)
        known = self._kept.get(name)
        if known is None or known.stamp != use.stamp:
            self._kept[name] = known = _Kept(use.stamp, self._reading(use.stamp.real, validation))
        if isinstance(known.read, PASSING):
            del self._kept[name]
        if isinstance(known.read, SandkeeperError):
            raise known.read
        return known.read

    def have_changed(self, uses: Iterable[SkillUse]) -> bool:
        """Whether one of them stands otherwise than it did, and has come to rest."""
        changed = False
        for use in uses:
            now = _place(use.written) if use.refused else self._stamp(use.written)
            if now != use.stamp:
                changed = changed or self._is_settled(use.written, now)
        return changed

    def keep(self, uses: Collection[SkillUse]) -> None:
        """Forget all skills but these."""
        reals = {use.stamp.real for use in uses}
        self._kept = {name: kept for name, kept in self._kept.items() if name[0] in reals}
        paths = {use.written for use in uses}
        self._restless = {path: since for path, since in self._restless.items() if path in paths}

    def due(self) -> float | None:
        """When the next look is wanted."""
        return min(self._due, default=None)

    def _stamp(self, written: Path) -> Stamp:
        if written not in self._stamps:
            self._stamps[written] = stamp = _stamp_of(written)
            if stamp.newest is None:
                self._due.append(self._clock.monotonic() + POLL)
        return self._stamps[written]

    def _is_settled(self, written: Path, stamp: Stamp) -> bool:
        """Judged once a look: whoever asks is told the same."""
        if written not in self._settled:
            self._settled[written] = self._judge(written, stamp)
        return self._settled[written]

    def _judge(self, written: Path, stamp: Stamp) -> bool:
        age = SETTLED if stamp.newest is None else self._clock.now() - stamp.newest
        if self._at_once or not 0 <= age < SETTLED:  # a clock that was set back must hold nothing up
            self._restless.pop(written, None)
            return True
        now = self._clock.monotonic()
        if now >= self._restless.setdefault(written, now) + PATIENCE:
            self._restless[written] = now
            return True
        self._due.append(now + SETTLED - age)
        return False

    def _reading(self, real: str, validation: str) -> SkillRead | SandkeeperError:
        try:
            return self._read(Path(real), validation)
        except SandkeeperError as exc:
            return exc


def not_as_seen(use: SkillUse) -> SkillUse:
    """A use that counts as changed with the next look."""
    return replace(use, stamp=replace(use.stamp, content=~use.stamp.content))


def unread(path: Path, _: str) -> SkillRead:
    """The ReadSkill of a source without skills."""
    return SkillRead(SkillFacts(str(path), digest="unread"))


def _place(written: Path) -> Stamp:
    return Stamp(_real(written), 0, None)


def _real(written: Path) -> str:
    """Where its path leads; to name a skill's SKILL.md is to name its folder."""
    real = Path(os.path.realpath(written))
    return str(real.parent if real.name in SKILL_FILES else real)


def _stamp_of(written: Path) -> Stamp:
    real = _real(written)
    changes = tuple(sorted(_changes(real)))
    newest = max((ctime for *_, ctime in changes), default=None)
    return Stamp(real, hash(changes), None if newest is None else newest / 1e9)


def _changes(real: str) -> Iterator[_Change]:
    """One for each file and folder that is part of the skill, as far as it can be looked at."""
    pending, count = [real], 0
    while pending:
        path = pending.pop()
        try:
            found = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - text throughout
            yield _change(path, found)
            if stat.S_ISLNK(found.st_mode):
                yield _change(f"{path}/", os.stat(path))  # noqa: PTH116 - as above
            if stat.S_ISDIR(found.st_mode):
                with os.scandir(path) as entries:
                    pending += [entry.path for entry in entries if not is_passed_over(entry.name)]
        except OSError:
            continue
        count += 1
        if count > MOST_ENTRIES:
            return


def _change(path: str, found: os.stat_result) -> _Change:
    return path, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns
