"""The folder of a SandboxBuilder: what is kept of each sandbox, and the lock on it over threads and processes.

<base>/<id>/sandbox.json     what is kept, replaced whole
<base>/<id>/lock             held while the sandbox is made, changed or removed
<base>/<id>/workspace        a link to its workspace
<base>/workspaces/<id>/      the workspace, one path for both isolations
<base>/instance              whose the sandboxes are, as their labels say
beside them: directories/, run/, trash/ and cache/, as below a daemon's state folder
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from controller.embedded.kept import Kept
from controller.loop.lock import instance_of
from controller.model.errors import DiskFullError, StateError
from controller.report.codec import decode, encode
from controller.report.files import replace_file

_VERSION: Final = 1
_RECORD: Final = "sandbox.json"
_LOCK: Final = "lock"
_WORKSPACE: Final = "workspace"


class Home:
    """All methods raise StateError, DiskFullError where no space is left. For any thread and any process."""

    def __init__(self, base: Path) -> None:
        self.base = Path(os.path.abspath(base))  # noqa: PTH100 - a symlinked folder keeps its own name
        with _translated(f"cannot use {self.base}"):
            # Sandboxes pass through on their way to their workspaces; only we can list what is here.
            self.base.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.instance = instance_of(self.base)

    def folder(self, id: str) -> Path:
        """The folder of a sandbox; it need not exist."""
        return self.base / id

    def ids(self) -> Sequence[str]:
        """Every sandbox of which something is kept, by whatever process it was built."""
        with _translated(f"cannot read {self.base}"):
            return sorted(entry.name for entry in self.base.iterdir() if self.has(entry.name))

    def has(self, id: str) -> bool:
        """Whether a sandbox of that id is known."""
        return _is_id(id) and (self.folder(id) / _RECORD).is_file()

    def read(self, id: str) -> Kept | None:
        """What is kept of a sandbox; None where none of that id is known."""
        if not _is_id(id):
            return None
        path = self.folder(id) / _RECORD
        with _translated(f"cannot read {path}"):
            try:
                content = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None
        try:
            return decode(Kept, json.loads(content)["sandbox"])
        except (ValueError, KeyError, TypeError) as exc:
            raise StateError(f"{path} is damaged: remove {path.parent} to forget the sandbox") from exc

    def begin(self, kept: Kept) -> None:
        """Make the folder of a new sandbox."""
        folder = self.folder(kept.id)
        with _translated(f"cannot make {folder}"):
            folder.mkdir(mode=0o700)
            (folder / _LOCK).touch(mode=0o600)
            (folder / _WORKSPACE).symlink_to(f"../workspaces/{kept.id}")
        self.write(kept)

    def write(self, kept: Kept) -> None:
        """Replace what is kept of a sandbox."""
        path = self.folder(kept.id) / _RECORD
        content = json.dumps({"version": _VERSION, "sandbox": encode(kept)}, separators=(",", ":"))
        with _translated(f"cannot write {path}"):
            replace_file(path, content.encode())

    def forget(self, id: str) -> None:
        """Remove a sandbox's folder; nothing is known of it then. Idempotent."""
        with _translated(f"cannot remove {self.folder(id)}"):
            (self.folder(id) / _RECORD).unlink(missing_ok=True)
            shutil.rmtree(self.folder(id), ignore_errors=True)

    @contextlib.contextmanager
    def held(self, id: str) -> Iterator[bool]:
        """Nobody else works on the sandbox meanwhile; False where none of that id is known (any more)."""
        descriptor = self._locked(id) if _is_id(id) else None
        try:
            yield descriptor is not None
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _locked(self, id: str) -> int | None:
        path = self.folder(id) / _LOCK
        while True:
            with _translated(f"cannot lock {path}"):
                try:
                    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                except (FileNotFoundError, NotADirectoryError):
                    return None
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return descriptor
            os.close(descriptor)  # who held it has removed the sandbox


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except (ValueError, AttributeError, TypeError):
        return False


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"{what}: {exc.strerror}; free space on its file system") from exc
        raise StateError(f"{what}: {exc.strerror or exc}; use another sandbox_base_path, or its owner's user") from exc
