"""One look at the watched folder: which manifests there are, and the stamp that tells whether one has changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

from controller.model.manifest import Fault

SUFFIXES: Final = (".yaml", ".yml")
SKILL_FILES: Final = ("SKILL.md", "skill.md")
"""What makes a folder a skill's: nothing in it or below is a manifest."""

_KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Stamp(NamedTuple):
    """What changes with a file's content; ctime cannot be set back by hand."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, result: os.stat_result) -> Stamp:
        return cls(result.st_ino, result.st_size, result.st_mtime_ns, result.st_ctime_ns)


class RootIdentity(NamedTuple):
    """Which folder the root is; another one under the same name has another."""

    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class Found:
    """One manifest of a listing. `problem` refuses it unread; `linked`: reached through a symlink."""

    stamp: Stamp
    linked: bool = False
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """What one look saw: manifests by path relative to the root, and folders that could not be listed.

    `in_skills` are files of skills with names like manifests': each a problem, should it have been a manifest before.
    `error` says why the root itself could not be listed; then there is no identity and nothing else counts.
    """

    files: dict[str, Found] = field(default_factory=dict)
    in_skills: dict[str, Found] = field(default_factory=dict)
    unreadable: dict[str, Fault] = field(default_factory=dict)
    identity: RootIdentity | None = None
    error: str = ""

    def hides(self, file: str) -> bool:
        """Whether a file that was not seen stands below a folder that could not be listed."""
        return any(file.startswith(f"{folder}/") for folder in self.unreadable)


def is_hidden(name: str) -> bool:
    """Dotfiles: git's folder, editors' temporary files, and the folders behind a `..data` link."""
    return name.startswith(".")


def is_manifest(name: str) -> bool:
    """Whether a file of that name is read."""
    return name.endswith(SUFFIXES) and not is_hidden(name)


def printable(path: str) -> str:
    """A path as people can be shown it: file names need not be UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def identify(root: Path) -> RootIdentity | None:
    """Which folder stands at the root now; None where there is none."""
    try:
        found = root.stat()
    except OSError:
        return None
    return RootIdentity(found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def list_manifests(root: Path, skills: Collection[str] = ()) -> Listing:
    """Look at everything below the root once. Never opens a file and never raises.

    Hidden names are passed over, and folders of skills: those with a SKILL.md, and `skills` (real paths), but not the
    root itself. A folder is entered once, over whichever path; symlinks that lead out of the root
    are not followed: a manifest behind one is a problem.
    """
    identity = identify(root)
    if identity is None:
        return Listing(error=_root_error(root))
    walk = _Walk(os.path.realpath(root), frozenset(skills))
    try:
        walk.enter("", linked=False)
    except FileNotFoundError:
        return Listing(error=f"the watched folder {root} is missing")
    except OSError as exc:
        return Listing(error=f"the watched folder {root} cannot be listed: {exc.strerror}")
    walk.finish()
    return Listing(walk.files, walk.in_skills, walk.unreadable, identity)


def _root_error(root: Path) -> str:
    try:
        root.stat()
    except FileNotFoundError:
        return f"the watched folder {root} is missing"
    except OSError as exc:
        return f"the watched folder {root} cannot be reached: {exc.strerror}"
    return f"{root} is not a folder"


class _Walk:
    """One walk; real folders first, so that a link to a folder that is walked anyway adds nothing."""

    def __init__(self, root: str, skills: Collection[str]) -> None:
        self.files: dict[str, Found] = {}
        self.in_skills: dict[str, Found] = {}
        self.unreadable: dict[str, Fault] = {}
        self._root = root
        self._entered: set[tuple[int, int]] = set()
        self._folders: list[str] = []
        self._linked_folders: list[str] = []
        self._skills = skills
        self._skill_folders: set[str] = set()

    def finish(self) -> None:
        while self._folders or self._linked_folders:
            linked = not self._folders
            folder = (self._linked_folders if linked else self._folders).pop()
            try:
                self.enter(folder, linked)
            except FileNotFoundError:
                continue  # removed meanwhile: its files count as missing, to be confirmed by the next look
            except OSError as exc:
                message = f"the folder cannot be listed: {exc.strerror}"
                hint = "what was declared in it stays as it is"
                self.unreadable[folder] = Fault(printable(folder), 1, 1, message, hint=hint)

    def enter(self, folder: str, linked: bool) -> None:
        path = f"{self._root}/{folder}" if folder else self._root
        found = Path(path).stat()
        if (found.st_dev, found.st_ino) in self._entered:
            return
        with os.scandir(path) as listed:
            self._entered.add((found.st_dev, found.st_ino))
            entries = [entry for entry in listed if not is_hidden(entry.name)]
        if folder and self._is_skills(folder, path, entries):
            self._skill_folders.add(folder)
        for entry in entries:
            self._take(entry, f"{folder}/{entry.name}" if folder else entry.name, linked)

    def _is_skills(self, folder: str, path: str, entries: Sequence[os.DirEntry[str]]) -> bool:
        if folder.rpartition("/")[0] in self._skill_folders or any(entry.name in SKILL_FILES for entry in entries):
            return True
        return bool(self._skills) and os.path.realpath(path) in self._skills

    def _take(self, entry: os.DirEntry[str], file: str, linked: bool) -> None:
        try:
            if entry.is_symlink():
                self._take_link(entry, file)
                return
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder:
                (self._linked_folders if linked else self._folders).append(file)
            if is_manifest(entry.name):
                self._add(file, entry.stat(follow_symlinks=False), linked)
        except FileNotFoundError:
            return

    def _take_link(self, entry: os.DirEntry[str], file: str) -> None:
        inside = os.path.realpath(entry.path).startswith(f"{self._root}/")
        try:
            target = entry.stat() if inside else None
        except OSError:
            target = None  # it leads nowhere, or round in a circle
        if target is not None and stat.S_ISDIR(target.st_mode):
            self._linked_folders.append(file)
        if not is_manifest(entry.name):
            return
        if target is not None:
            self._add(file, target, linked=True)
            return
        problem = "is a symlink to nothing" if inside else "is a symlink that leads out of the watched folder"
        hint = "" if inside else "copy the file into the folder"
        self._note(file, Found(Stamp.of(entry.stat(follow_symlinks=False)), True, problem, hint))

    def _add(self, file: str, found: os.stat_result, linked: bool) -> None:
        problem = hint = ""
        if not stat.S_ISREG(found.st_mode):
            kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
            problem, hint = f"is {kind}, not a file", "manifests are regular files"
        elif not file.isprintable():
            problem, hint = "has a name that cannot be printed", "rename it in plain UTF-8"
        self._note(file, Found(Stamp.of(found), linked, problem, hint))

    def _note(self, file: str, found: Found) -> None:
        folder = file.rpartition("/")[0]
        if folder in self._skill_folders:
            problem = f"lies in the folder of a skill ({folder}), of which nothing is read as a manifest"
            self.in_skills[file] = replace(found, problem=problem, hint="move it out of the skill's folder")
        else:
            self.files[file] = found
