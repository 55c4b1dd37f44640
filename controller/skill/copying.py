"""Copying a skill's files so that nothing in them can lead the copy elsewhere, nor a sandbox change them after."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from controller.model.errors import SandkeeperError
from controller.model.skill import is_passed_over

MOST_ENTRIES: Final = 4096
MOST_BYTES: Final = 64 << 20
FOLDER_MODE: Final = 0o555

_MOST_LEVELS: Final = 32
_CHUNK: Final = 1 << 20
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLAIN, _EXECUTABLE = 0o444, 0o555

Parts = tuple[str, ...]


class SkillRefused(SandkeeperError):  # noqa: N818 - what happens to it
    """A skill that no sandbox can be given; the text begins with the place and says what would be right."""


def copy_skill(source: Path, target: Path) -> dict[str, str]:
    """Copy a skill's folder, or its one file, at a real path into the new folder `target`; the SHA-256 of each file by
    its path in the skill.

    Hidden files and what editors and Python leave are passed over. What a link leads to is copied, where that is inside
    the skill. Everybody can read the copies, nobody write them. Raises SkillRefused, OSError.
    """
    is_folder = source.is_dir()
    copier = _Copier(source if is_folder else source.parent, target)
    if is_folder:
        copier.copy_folder((), ())
    else:
        target.mkdir()
        copier.copy_file((source.name,), (source.name,))
        target.chmod(FOLDER_MODE)
    return copier.files


@dataclass(slots=True)
class _Copier:
    """Reads below `root` by descriptors alone. Of each two parts, the first are where it is, the second its path."""

    root: Path
    target: Path
    files: dict[str, str] = field(default_factory=dict)
    _bytes: int = 0
    _entries: int = 0

    def copy_folder(self, parts: Parts, shown: Parts) -> None:
        if len(shown) > _MOST_LEVELS:
            raise self._refused(shown, f"lies too deep: a skill has at most {_MOST_LEVELS} levels")
        copy = self.target.joinpath(*shown)
        copy.mkdir()
        folder = self._open(parts, _FOLDER)
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries if not is_passed_over(entry.name))
            for name in names:
                mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
                self._copy((*parts, name), (*shown, name), mode)
        finally:
            os.close(folder)
        copy.chmod(FOLDER_MODE)

    def copy_file(self, parts: Parts, shown: Parts) -> None:
        source = self._open(parts, _FILE)
        try:
            status = os.fstat(source)
            if not stat.S_ISREG(status.st_mode):
                raise self._refused(shown, "is neither a file nor a folder: remove it from the skill")
            copy = self.target.joinpath(*shown)
            self.files["/".join(shown)] = self._poured(source, copy, shown)
            os.utime(copy, ns=(status.st_mtime_ns, status.st_mtime_ns))
            copy.chmod(_EXECUTABLE if status.st_mode & stat.S_IXUSR else _PLAIN)
        finally:
            os.close(source)

    def _copy(self, parts: Parts, shown: Parts, mode: int) -> None:
        self._entries += 1
        if self._entries > MOST_ENTRIES:
            raise self._refused((), f"has more than {MOST_ENTRIES} files and folders: a skill may have so many")
        if stat.S_ISLNK(mode):
            parts = self._followed(parts, shown)
            mode = self.root.joinpath(*parts).lstat().st_mode
        if stat.S_ISDIR(mode):
            self.copy_folder(parts, shown)
        else:
            self.copy_file(parts, shown)

    def _followed(self, parts: Parts, shown: Parts) -> Parts:
        """Where a link leads. What is put there after this look is opened without following links."""
        real = Path(os.path.realpath(self.root.joinpath(*parts)))
        if not real.is_relative_to(self.root):
            raise self._refused(shown, "is a link that leads out of the skill: copy the file into it")
        if not real.exists():
            raise self._refused(shown, "is a link to nothing: remove it, or make what it leads to")
        return real.relative_to(self.root).parts

    def _open(self, parts: Parts, flags: int) -> int:
        descriptor = os.open(self.root, _FOLDER)
        for index, part in enumerate(parts):
            above = descriptor
            try:
                descriptor = os.open(part, flags if index == len(parts) - 1 else _FOLDER, dir_fd=above)
            finally:
                os.close(above)
        return descriptor

    def _poured(self, source: int, copy: Path, shown: Parts) -> str:
        digest = hashlib.sha256()
        with copy.open("xb") as target:
            while chunk := os.read(source, _CHUNK):
                self._bytes += len(chunk)
                if self._bytes > MOST_BYTES:
                    raise self._refused(shown, f"makes the skill larger than {MOST_BYTES >> 20} MiB: mount large files")
                digest.update(chunk)
                target.write(chunk)
        return digest.hexdigest()

    def _refused(self, shown: Parts, why: str) -> SkillRefused:
        return SkillRefused(f"{self.root.joinpath(*shown)}: {why}")
