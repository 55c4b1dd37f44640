"""The workspaces under the state folder: made, handed over, thrown away, restored. What is in them is hostile."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import structlog

from controller.model.clock import Clock
from controller.model.errors import DiskFullError, StateError, UsageError
from controller.model.identity import Key
from controller.runtime.ownership import hand_over
from controller.runtime.protocol import TrashedWorkspace
from controller.runtime.tree import erase_tree, open_up

log = structlog.get_logger(__name__)

_RECORD: Final = "trashed.json"
_CONTENT: Final = "workspace"
_ERASING: Final = ".erasing-"
_OCTAL: Final = re.compile(rb"\\([0-7]{3})")


class WorkspaceFolder:
    """Implements Workspaces. Layout: `workspaces/<uid>/`, and `trash/<uid>/` with `workspace/` and `trashed.json`.

    Calls for one uid come one at a time; `expire` and calls for other uids may run beside them. All raise StateError,
    DiskFullError where no space is left, and UsageError on a uid that is none.
    """

    def __init__(self, state_dir: str | Path, clock: Clock, trash_ttl: float = 86400.0) -> None:
        """`trash_ttl` is how many seconds a trashed workspace is kept."""
        state = Path(os.path.abspath(state_dir))  # noqa: PTH100 - a symlinked state folder keeps its own name
        self._workspaces = state / "workspaces"
        self._trash = state / "trash"
        self._clock = clock
        self._trash_ttl = trash_ttl

    def path(self, uid: str) -> str:
        """The absolute path; it need not exist."""
        return str(self._workspaces / _checked(uid))

    def ensure(self, uid: str, owner_uid: int, owner_gid: int) -> str:
        """Have the workspace, empty at first, 0700 whatever its owner made of it; returns its path.

        As root it belongs to that owner, and so does what a former owner had in it (ownership.hand_over).
        """
        path = Path(self.path(uid))
        with _translated(f"cannot make the workspace {path}"):
            # Each sandbox passes through as a user of its own, and can list nothing.
            _make_folder(self._workspaces, 0o711)
            _make_folder(self._trash, 0o700)  # now, so that a full disk does not stand in the way of deleting
            _make_folder(path, 0o700)
            open_up(str(path))
            if os.geteuid() == 0:
                hand_over(str(path), owner_uid, owner_gid)
        return str(path)

    def trash(self, uid: str, key: Key, document: Mapping[str, object]) -> None:
        """Move it to the trash with what is needed to restore it. Idempotent: one that is gone succeeds.

        Raises StateError where an older one of this uid is there and neither is empty.
        """
        workspace, kept = Path(self.path(uid)), self._kept(uid)
        with _translated(f"cannot move {workspace} to the trash"):
            if not workspace.exists():
                return
            _make_folder(self._trash, 0o700)
            _make_folder(kept, 0o700)
            _write_record(kept / _RECORD, {"key": list(key), "trashedAt": self._clock.now(), "document": document})
            open_up(str(workspace))  # to move a folder one must be able to write it, and its owner may forbid that
            workspace.rename(kept / _CONTENT)  # takes the place of a folder that is empty

    def erase(self, uid: str) -> None:
        """Delete it for good, in the trash too. Idempotent."""
        with _translated(f"cannot delete the workspace of {uid}"):
            for folder in (Path(self.path(uid)), self._kept(uid)):
                self._erase(folder)

    def trashed(self) -> Sequence[TrashedWorkspace]:
        """What is in the trash, newest first. A record that cannot be read is left out, and logged."""
        with _translated(f"cannot read {self._trash}"):
            found = [self._read_trashed(kept) for kept in self._trash_entries()]
        return sorted((item for item in found if item is not None), key=lambda item: item.trashed_at, reverse=True)

    def restore(self, uid: str, instead_of: str = "") -> None:
        """Move it back from the trash; the empty workspace `instead_of` goes for it. Idempotent: back is back.

        Raises StateError where it is in neither place, or where either folder that has to make room is not empty; then
        nothing has changed.
        """
        workspace, kept = Path(self.path(uid)), self._kept(uid)
        is_trashed = (kept / _CONTENT).is_dir()
        if not is_trashed and not workspace.is_dir():
            raise StateError(f"the workspace of {uid} is not in the trash (any more)")
        for place in filter(None, (uid if is_trashed else "", instead_of)):
            if not self.is_empty(place):
                raise StateError(f"{self.path(place)} is not empty: move its files away first")
        if is_trashed:
            with _translated(f"cannot restore {workspace}"):
                _make_folder(self._workspaces, 0o711)
                (kept / _CONTENT).rename(workspace)
        self._tidy(kept, instead_of)

    def _tidy(self, kept: Path, left: str) -> None:
        """Remove what a restored workspace leaves; it is back all the same where that fails."""
        try:
            with _translated(f"cannot remove what is left in {kept}"):
                self._erase(kept)
                if left and os.path.lexists(self.path(left)):
                    Path(self.path(left)).rmdir()
        except (StateError, DiskFullError) as exc:
            log.warning("left_behind_by_restore", error=str(exc))

    def is_empty(self, uid: str) -> bool:
        """True where it has no entries or does not exist."""
        path = self.path(uid)
        with _translated(f"cannot look into the workspace {path}"):
            try:
                with os.scandir(path) as entries:
                    return next(entries, None) is None
            except FileNotFoundError:
                return True

    def expire(self) -> None:
        """Delete what has been in the trash past its time, and what an interrupted deletion left.

        Goes on past what cannot be deleted, and raises for the first of it at the end.
        """
        now = self._clock.now()
        with _translated(f"cannot read {self._trash}"):
            due = [kept for kept in self._trash_entries() if _trashed_at(kept) + self._trash_ttl <= now]
            leftovers = list(self._trash.glob(f"{_ERASING}*"))
        faults: list[StateError | DiskFullError] = []
        for folder in (*due, *leftovers):
            try:
                with _translated(f"cannot delete {folder}"):
                    self._erase(folder)
                    log.info("trash_deleted", path=str(folder))
            except (StateError, DiskFullError) as exc:
                faults.append(exc)
        if faults:
            raise faults[0]

    def _kept(self, uid: str) -> Path:
        return self._trash / _checked(uid)

    def _erase(self, folder: Path) -> None:
        """Out of the way in one step, so that a crash leaves either all of it or something that `expire` finishes."""
        if not os.path.lexists(folder):
            return
        _refuse_mounts(folder)
        _make_folder(self._trash, 0o700)
        open_up(str(folder))
        doomed = self._trash / f"{_ERASING}{uuid4()}"
        folder.rename(doomed)
        erase_tree(str(doomed))

    def _trash_entries(self) -> list[Path]:
        if not self._trash.is_dir():
            return []
        return [entry for entry in self._trash.iterdir() if _is_uid(entry.name)]

    def _read_trashed(self, kept: Path) -> TrashedWorkspace | None:
        if not (kept / _CONTENT).exists():
            return None  # restored, or its move here was interrupted
        try:
            record: dict[str, Any] = json.loads((kept / _RECORD).read_bytes())
            return TrashedWorkspace(kept.name, Key(*record["key"]), float(record["trashedAt"]), record["document"])
        except (OSError, ValueError, TypeError, KeyError) as exc:
            log.warning("trash_record_unreadable", path=str(kept / _RECORD), error=str(exc))
            return None


def _is_uid(text: str) -> bool:
    """Exactly as the daemon writes one: UUID accepts other spellings too, among them braces and upper case."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _checked(uid: str) -> str:
    if not _is_uid(uid):
        raise UsageError(f"{uid!r} is not a sandbox's uid")
    return uid


def _make_folder(path: Path, mode: int) -> None:
    """With exactly that mode whatever the umask; a folder that is there keeps its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=mode & 0o700)
    except FileExistsError:
        return
    path.chmod(mode)


def _write_record(path: Path, record: Mapping[str, object]) -> None:
    """Atomically, and on the disk before the workspace moves beside it."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _trashed_at(kept: Path) -> float:
    """From the record; where that cannot be read, when the folder was last changed."""
    try:
        return float(json.loads((kept / _RECORD).read_bytes())["trashedAt"])
    except (OSError, ValueError, TypeError, KeyError):
        return kept.stat().st_mtime


def _refuse_mounts(folder: Path) -> None:
    """Somebody may have mounted a folder of this very file system in it, which no device number gives away."""
    # The kernel tells of real paths: the state folder may be reached through a symlink.
    prefix = os.fsencode(f"{folder.parent.resolve() / folder.name}/")
    for line in Path("/proc/self/mountinfo").read_bytes().split(b"\n"):
        point = _mount_point(line)
        if point.startswith(prefix):
            raise StateError(f"{os.fsdecode(point)} is a mount point: unmount it, then {folder} can be deleted")


def _mount_point(line: bytes) -> bytes:
    """Of one line of mountinfo, which writes space, tab, newline and backslash in octal (proc(5))."""
    escaped = b"".join(line.split(b" ")[4:5])
    return _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), escaped)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        reason = exc.strerror or str(exc)
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"{what}: {reason}; free space on its file system") from exc
        if exc.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise StateError(f"{what}: an older one is in the way; move or delete it first") from exc
        raise StateError(f"{what}: {reason} ({exc.filename})") from exc
