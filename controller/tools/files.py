"""The files of a workspace, whatever the code in it does to them meanwhile."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from controller.model.errors import ToolError
from controller.tools.as_user import as_user
from controller.tools.paths import names_of, shown
from controller.tools.walk import Place, find, look, open_file, refuse_special

MOST_BYTES: Final = 16 << 20
MOST_NAMES: Final = 10_000
_ROOT: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE: Final = 0o644
_CHUNK: Final = 1 << 20

T = TypeVar("T")


class WorkspaceFiles:
    """The files below one workspace, on the host, for both isolation modes.

    Paths are relative to it, or absolute below `/workspace` or its place on the host. Everything is done by
    descriptor, never follows a link out, and as root with the rights of `owner` alone. Raises ToolError.
    """

    def __init__(self, root: Path, owner: tuple[int, int] | None = None, most_bytes: int = MOST_BYTES) -> None:
        """`owner` is the sandbox's user and group; None: whose the folder is. No larger file is read or written."""
        self._root = os.path.abspath(root)  # noqa: PTH100 - a symlinked state folder keeps its own name
        self._owner = owner
        self._most_bytes = most_bytes

    def read(self, path: str) -> bytes:
        """A file's content."""
        return self.at(path, "read", self._read)

    def write(self, path: str, data: bytes) -> str:
        """Put a file in place in one step, with the folders above it; its path on the host, links resolved.

        It belongs to the sandbox's user: 0644, or with the permissions of the file that it replaces.
        """
        if len(data) > self._most_bytes:
            raise ToolError(f"cannot write {len(data)} bytes: {self._most_bytes} are allowed; use several files")
        if str(path).endswith("/"):
            raise ToolError(f"cannot write {shown(path)}: it names a folder; give the name of a file")
        return self.at(path, "write", partial(_write, data, self._root), make=True)

    def names(self, path: str = ".") -> list[str]:
        """The names in a folder, sorted. Of one with too many, some, and an entry that says so: it has a `/`."""
        return self.at(path, "list", _names)

    def at(self, path: str, verb: str, work: Callable[[Place], T], *, make: bool = False) -> T:
        """What `work` gives for the place of a path, in a thread with the rights of the sandbox's user.

        OSErrors become ToolErrors that name the path.
        """
        with _translated(f"cannot {verb} {shown(str(path))}", self._root):
            names = names_of(path, self._root)
            root = os.open(self._root, _ROOT)

            def errand() -> T:
                with find(root, self._root, names, make=make) as place:
                    return work(place)

            status = os.fstat(root)
            return as_user(self._owner or (status.st_uid, status.st_gid), errand, partial(os.close, root))

    def _read(self, place: Place) -> bytes:
        descriptor = open_file(place.folder, place.name)
        try:
            size = os.fstat(descriptor).st_size
            data = b"" if size > self._most_bytes else read_up_to(descriptor, self._most_bytes + 1)
        finally:
            os.close(descriptor)
        if max(size, len(data)) > self._most_bytes:
            raise ToolError(
                f"its {max(size, len(data))} bytes are more than the {self._most_bytes} that are read: "
                "take a part of it with run_command (head, tail, sed -n)"
            )
        return data


def read_up_to(descriptor: int, most: int) -> bytes:
    """What an open file has, or its first `most` bytes."""
    data = bytearray()
    while len(data) < most and (chunk := os.read(descriptor, min(_CHUNK, most - len(data)))):
        data += chunk
    return bytes(data)


def _write(data: bytes, root: str, place: Place) -> str:
    mode = _mode_of_new(place)
    temporary = f".sandkeeper-{secrets.token_hex(8)}.tmp"
    descriptor = os.open(temporary, _NEW, 0o600, dir_fd=place.folder)
    try:
        try:
            _write_all(descriptor, data)
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
        os.rename(temporary, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=place.folder)
        raise
    return f"{root}/{place.path}"


def _mode_of_new(place: Place) -> int:
    status = look(place)
    if status is None:
        return _MODE
    refuse_special(status.st_mode)
    return stat.S_IMODE(status.st_mode) & 0o777


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left[:_CHUNK]) :]


def _names(place: Place) -> list[str]:
    folder = os.open(place.name or ".", _LIST, dir_fd=place.folder)
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, MOST_NAMES + 1)]
    finally:
        os.close(folder)
    if len(names) <= MOST_NAMES:
        return sorted(names)
    note = f"… /there are more than these {MOST_NAMES}: list the rest with run_command"
    return [*sorted(names[:MOST_NAMES]), note]


_SAID: Final = {
    errno.ENOENT: "it is not there: list the folder to see what is",
    errno.ENOTDIR: "something on the way is no folder, or was swapped meanwhile: list the folders above it",
    errno.ELOOP: "links on the way lead in a circle, or were swapped meanwhile",
    errno.EISDIR: "it is a folder: name a file in it",
    errno.EEXIST: "it was swapped meanwhile: try again",
    errno.EACCES: "the sandbox's user may not: change the permissions with run_command (chmod)",
    errno.EPERM: "the sandbox's user may not: change the permissions with run_command (chmod)",
    errno.EAGAIN: "a process in the sandbox holds a lease on it: end that, or try again",
    errno.ENAMETOOLONG: "a name in it is too long: 255 bytes at most",
    errno.ENOSPC: "no space is left on its file system: delete files",
    errno.EDQUOT: "the sandbox's user has used up its quota: delete files",
}


@contextmanager
def _translated(what: str, root: str) -> Iterator[None]:
    try:
        yield
    except ToolError as exc:
        raise ToolError(f"{what}: {exc}") from exc
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP) and not Path(root).is_dir():
            raise ToolError(f"{what}: the sandbox has no workspace at {root} (any more)") from exc
        said = _SAID.get(exc.errno or 0) or exc.strerror or str(exc)
        raise ToolError(f"{what}: {said}") from exc


def text_of(data: bytes, path: Any) -> str:
    """A file's content as text. Raises ToolError where it is not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ToolError(
            f"cannot read {shown(str(path))} as text: its byte {exc.start} (0x{data[exc.start]:02x}) is not UTF-8; "
            "look at it with run_command (od -c, iconv)"
        ) from exc
