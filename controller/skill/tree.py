"""A skill's files as they lie on the disk, and their digest: read by descriptors, within limits, never out of it.

Whoever wrote the skill is not trusted: nothing in it can block the reader, lead it elsewhere or exhaust it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from controller.model.manifest import Fault
from controller.skill.errors import SkillError, SkillNotFoundError

MOST_ENTRIES: Final = 10_000
MOST_BYTES: Final = 128 << 20
MOST_OF_A_TEXT: Final = 1 << 20
"""The largest SKILL.md, requirements.txt or pyproject.toml."""
MOST_OF_A_SCRIPT: Final = 256 << 10
"""How much of a script is looked at for what it needs; all of it counts for the digest."""
DEEPEST: Final = 32
NOT_OF_THE_SKILL: Final = frozenset({".git", "__pycache__"})
"""What tools leave in a folder; it is neither read nor part of the digest."""

SKILL_FILES: Final = ("SKILL.md", "skill.md")
REQUIREMENTS: Final = "requirements.txt"
PYPROJECT: Final = "pyproject.toml"
SCRIPTS: Final = "scripts/"

_FILE_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK: Final = 1 << 16
_KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True)
class SkillFiles:
    """What was read of a skill.

    `texts` holds, by path within the skill, the files that say something about it, scripts from their beginning;
    `digest` is over everything: paths, contents, what may be executed, where links lead.
    """

    digest: str
    texts: Mapping[str, bytes]


def read_folder(folder: Path, shown: str) -> SkillFiles:
    """All files of a skill's folder. Raises SkillError with every fault, its place beginning with `shown`."""
    try:
        opened = os.open(os.path.realpath(folder), _FOLDER_FLAGS)
    except OSError as exc:
        raise _unopened(shown, exc) from exc
    walk = _Walk(shown, os.path.realpath(folder))
    try:
        walk.enter(opened, "", 0)
    finally:
        os.close(opened)
    if walk.faults:
        raise SkillError(walk.faults)
    return SkillFiles(walk.digest.hexdigest(), walk.texts)


def read_single(path: Path, shown: str) -> SkillFiles:
    """A skill that is one file, as `SKILL.md` of the texts. Raises SkillError.

    It may be a link to a file of its own folder, or to one below.
    """
    folder, real = os.path.realpath(path.parent), os.path.realpath(path)
    if not _is_within(real, folder):
        raise SkillError([Fault(shown, 1, 1, "leads out of its folder", hint="copy the file into the folder")])
    walk = _Walk(shown, folder)
    try:
        walk.take_file(None, real, "")
    except OSError as exc:
        raise _unopened(shown, exc) from exc
    if walk.faults:
        raise SkillError(walk.faults)
    return SkillFiles(walk.digest.hexdigest(), {SKILL_FILES[0]: walk.texts[""]})


def _is_within(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)


def _unopened(shown: str, exc: OSError) -> SkillError:
    if isinstance(exc, FileNotFoundError):
        hint = "give a folder with SKILL.md, or a .md file"
        return SkillNotFoundError([Fault(shown, 1, 1, "there is no such file or folder", hint=hint)])
    return SkillError([Fault(shown, 1, 1, f"cannot be opened: {exc.strerror}", hint="check its permissions")])


@dataclass(slots=True)
class _Walk:
    """One pass over a skill, in the order of the names."""

    shown: str
    root: str
    faults: list[Fault] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    entries: int = 0
    size: int = 0

    def enter(self, folder: int, below: str, depth: int) -> None:
        """Take everything in an open folder; `below` is its path within the skill, ending in a slash."""
        if depth > DEEPEST:
            self._stop(below, f"is nested more than {DEEPEST} folders deep", "keep a skill flat")
        for name in self._names(folder, below):
            path = below + name
            try:
                mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
                if stat.S_ISLNK(mode):
                    self._take_link(folder, name, path)
                elif stat.S_ISDIR(mode):
                    self._take_folder(folder, name, path, depth)
                else:
                    self.take_file(folder, name, path)
            except OSError as exc:
                self._fault(path, f"cannot be read: {exc.strerror}", "check its permissions, and that nobody moves it")

    def take_file(self, folder: int | None, name: str, path: str) -> None:
        """Read a regular file; what is none is a fault. Raises OSError."""
        opened = os.open(name, _FILE_FLAGS, dir_fd=folder)
        try:
            self._read(opened, path)
        finally:
            os.close(opened)

    def _names(self, folder: int, below: str) -> list[str]:
        names = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name in NOT_OF_THE_SKILL:
                    continue
                self.entries += 1
                if self.entries > MOST_ENTRIES:
                    self._stop(
                        below, f"the skill has more than {MOST_ENTRIES} files", "move what it does not need away"
                    )
                names.append(entry.name)
        return sorted(names, key=os.fsencode)

    def _take_folder(self, folder: int, name: str, path: str, depth: int) -> None:
        opened = os.open(name, _FOLDER_FLAGS, dir_fd=folder)
        try:
            self._count("d", path, b"")
            self.enter(opened, f"{path}/", depth + 1)
        finally:
            os.close(opened)

    def _take_link(self, folder: int, name: str, path: str) -> None:
        target = os.readlink(name, dir_fd=folder)
        if path in SKILL_FILES:
            self._fault(path, "is a link", "put the file itself there")
        elif target.startswith("/"):
            self._fault(path, "is a link to an absolute path", "make it relative: a sandbox sees the skill at /skill")
        elif not _is_within(os.path.realpath(os.path.join(self.root, path)), self.root):  # noqa: PTH118 - as realpath
            self._fault(path, "is a link that leads out of the skill", "copy what it leads to into the skill")
        self._count("l", path, os.fsencode(target))

    def _read(self, opened: int, path: str) -> None:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode):
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")
            self._fault(path, f"is {kind}", "a skill is made of regular files")
            return
        most = _most_of(path)
        if most is not None and status.st_size > most and not path.startswith(SCRIPTS):
            self._fault(path, f"is {status.st_size} bytes; at most {most} are read", "move what is long to references/")
            return
        content, kept = hashlib.sha256(), bytearray()
        while chunk := os.read(opened, _CHUNK):
            self.size += len(chunk)
            if self.size > MOST_BYTES:
                self._stop(path, f"the skill has more than {MOST_BYTES >> 20} MiB", "fetch what is large at run time")
            content.update(chunk)
            if most is not None and len(kept) < most:
                kept += chunk[: most - len(kept)]
        if most is not None:
            self.texts[path] = bytes(kept)
        executable = status.st_mode & 0o111
        self._count("x" if executable else "f", path, content.digest())

    def _count(self, kind: str, path: str, content: bytes) -> None:
        for part in (kind.encode(), os.fsencode(path), content):
            self.digest.update(len(part).to_bytes(8, "big") + part)

    def _name(self, path: str) -> str:
        return f"{self.shown}/{path}".rstrip("/")

    def _fault(self, path: str, message: str, hint: str) -> None:
        self.faults.append(Fault(self._name(path), 1, 1, message, hint=hint))

    def _stop(self, path: str, message: str, hint: str) -> NoReturn:
        self._fault(path, message, hint)
        raise SkillError(self.faults)


def _most_of(path: str) -> int | None:
    """How much of a file is kept as text; None for those that are only counted."""
    if path in ("", *SKILL_FILES, REQUIREMENTS, PYPROJECT):
        return MOST_OF_A_TEXT
    if path.startswith(SCRIPTS) and "/" not in path.removeprefix(SCRIPTS):
        return MOST_OF_A_SCRIPT
    return None
