"""The files of skills as they were read, kept by their digests: what a sandbox was started with stays as it was."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

import structlog

from controller.model.clock import Clock, SystemClock
from controller.model.errors import DiskFullError, StateError
from controller.model.skill import SkillFacts, SkillRead
from controller.skill.copying import FOLDER_MODE, SkillRefused, copy_skill
from controller.skill.parse import ParsedSkill, SkillError, Validation, parse_skill

log = structlog.get_logger(__name__)

UNUSED_SECONDS: Final = 3600.0
"""Seconds for which nobody must have used the files of a digest before they go."""
_STAGED: Final = ".staged-"
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)


@dataclass
class SkillStore:
    """`<folder>/<digest>/` has the files of that digest. `mode` is the folder's. For any thread."""

    folder: Path
    mode: int = 0o700
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._unused_since: dict[str, float] = {}
        self._intact: set[str] = set()

    def read(self, path: Path, validation: str) -> SkillRead:
        """Copy the skill at a real path, read the copy, and keep it.

        Raises SkillRefused, StateError, DiskFullError.
        """
        if not path.exists():
            raise SkillRefused(f"{path} does not exist: a skill is a folder with a SKILL.md, or a .md file")
        try:
            with self._lock, self._staging() as staging:
                copy = staging / (path.name if path.is_dir() else "skill")
                files = copy_skill(path, copy)
                parsed = _parsed(path, copy, Validation(validation))
                facts = _facts(path, parsed, files)
                self._keep(copy, facts.digest, files)
        except OSError as exc:
            raise _translated(exc, path) from exc
        return SkillRead(facts, tuple(_told(warning, copy, path) for warning in parsed.warnings))

    def collect(self, used: Collection[str]) -> None:
        """Delete the files of digests that nobody has used for an hour. `used` are those in use. Raises StateError."""
        with self._lock:
            now = self.clock.monotonic()
            try:
                kept = {entry.name for entry in self.folder.iterdir()}
            except FileNotFoundError:
                return
            except OSError as exc:
                raise StateError(f"cannot list {self.folder}: {exc.strerror}") from exc
            self._unused_since = {name: self._unused_since.get(name, now) for name in kept if name not in used}
            for name, since in self._unused_since.items():
                if now >= since + UNUSED_SECONDS:
                    self._put_away(self.folder / name)
                    log.info("skill_files_removed", digest=name)

    def _keep(self, copy: Path, digest: str, files: Mapping[str, str]) -> None:
        place = self.folder / digest
        self._unused_since.pop(digest, None)
        if digest in self._intact and place.is_dir():
            return
        if not _has_exactly(place, files):
            self._put_away(place)
            copy.chmod(0o700)  # to move a folder one has to be able to write it
            copy.rename(place)
            place.chmod(FOLDER_MODE)
        self._intact.add(digest)

    def _put_away(self, place: Path) -> None:
        """In one step: of what is half deleted nobody must think that it is whole. Raises StateError."""
        if not place.exists():
            return
        doomed = self.folder / f"{_STAGED}{uuid4()}"
        try:
            place.chmod(0o700)
            place.rename(doomed)
        except OSError as exc:
            raise StateError(f"cannot remove {place}: {exc.strerror}") from exc
        _remove(doomed)

    @contextlib.contextmanager
    def _staging(self) -> Iterator[Path]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(self.mode)
        staging = Path(tempfile.mkdtemp(prefix=_STAGED, dir=self.folder))
        try:
            yield staging
        finally:
            _remove(staging)


@contextlib.contextmanager
def passing_store() -> Iterator[SkillStore]:
    """A store that keeps nothing beyond this: for a check or a plan, which leave everything as it is."""
    folder = Path(tempfile.mkdtemp(prefix="sandkeeper-skills-"))
    try:
        yield SkillStore(folder / "skills")
    finally:
        _remove(folder)


def _parsed(path: Path, copy: Path, validation: Validation) -> ParsedSkill:
    try:
        return parse_skill(copy if path.is_dir() else copy / path.name, validation)
    except SkillError as exc:
        raise SkillRefused(_told(str(exc), copy, path)) from exc


def _told(text: str, copy: Path, path: Path) -> str:
    """What was said of the copy, of what was copied, in one line."""
    place = path if path.is_dir() else path.parent
    return "; ".join(text.replace(str(copy), str(place)).splitlines())


def _facts(path: Path, parsed: ParsedSkill, files: dict[str, str]) -> SkillFacts:
    definition, digest = parsed.definition, parsed.digest
    if not path.is_dir():  # its name is not in the digest of a single file, and yet is seen inside
        digest = hashlib.sha256(f"{path.name}\0{digest}".encode()).hexdigest()
    return SkillFacts(
        path=str(path),
        digest=digest,
        name=definition.name,
        description=definition.description,
        packages=parsed.packages,
        python_version=parsed.python_version,
        tools=tuple(definition.get_tool_names()),
        files=files,
    )


def _has_exactly(place: Path, files: Mapping[str, str]) -> bool:
    """Whether nothing was lost or changed since: a machine may have lost its power amid a copy."""
    found = [Path(parent, name) for parent, _, names in os.walk(place) for name in names]
    if {str(path.relative_to(place)) for path in found} != files.keys():
        return False
    return all(hashlib.sha256(path.read_bytes()).hexdigest() == files[str(path.relative_to(place))] for path in found)


def _remove(folder: Path) -> None:
    """Nothing in it may be written: that is undone first."""
    with contextlib.suppress(OSError):
        for parent, _, _ in os.walk(folder):
            Path(parent).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _translated(exc: OSError, path: Path) -> SkillRefused | DiskFullError:
    if exc.errno in _NO_SPACE:
        return DiskFullError(f"no space left to keep the skill {path}: free some on the state folder's file system")
    where = exc.filename if isinstance(exc.filename, str) else path
    return SkillRefused(f"{path} cannot be read ({where}: {exc.strerror}): check its permissions")
