"""Opening a manifest so that nothing in the folder can block, mislead or exhaust the reader."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.model.errors import SandkeeperError
from controller.source.listing import Stamp
from controller.strict_yaml.reader import Place, place_of_offset

MAX_BYTES: Final = 1 << 20
"""The largest manifest that is read."""

_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW


class UnreadableManifest(SandkeeperError):  # noqa: N818 - what the file is
    """A file that cannot be taken as a manifest's text. `transient`: reading it again may succeed as it is."""

    def __init__(self, message: str, hint: str = "", place: Place = (1, 1), transient: bool = False) -> None:
        super().__init__(message)
        self.hint, self.place, self.transient = hint, place, transient


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file's text. `whole` is False where the file changed while it was read."""

    text: str
    stamp: Stamp
    saved_at: float
    whole: bool


def read_file(path: Path, root: Path | None) -> ReadFile:
    """The text of a regular UTF-8 file of at most 1 MiB that really lies below the root (None: anywhere).

    Never blocks on a pipe or device. Raises UnreadableManifest.
    """
    try:
        descriptor = os.open(os.path.realpath(path), _FLAGS)
    except OSError as exc:
        raise UnreadableManifest(f"cannot be opened: {exc.strerror}", "check its permissions", transient=True) from exc
    try:
        return _read(descriptor, root)
    except OSError as exc:
        raise UnreadableManifest(f"cannot be read: {exc.strerror}", "check the disk", transient=True) from exc
    finally:
        os.close(descriptor)


def _read(descriptor: int, root: Path | None) -> ReadFile:
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        raise UnreadableManifest("is not a regular file", "manifests are regular files")
    if before.st_size > MAX_BYTES:
        raise UnreadableManifest(f"is {before.st_size} bytes; a manifest has at most {MAX_BYTES}", "use several files")
    real = Path(f"/proc/self/fd/{descriptor}").readlink()
    if root is not None and not real.is_relative_to(os.path.realpath(root)):
        raise UnreadableManifest("leads out of the watched folder", "copy the file into the folder")
    data = _bytes_of(descriptor)
    whole = Stamp.of(os.fstat(descriptor)) == Stamp.of(before)
    return ReadFile(_decoded(data), Stamp.of(before), before.st_mtime, whole)


def _bytes_of(descriptor: int) -> bytes:
    chunks, size = [], 0
    while chunk := os.read(descriptor, 1 << 16):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BYTES:
            raise UnreadableManifest(f"has more than {MAX_BYTES} bytes", "use several files")
    return b"".join(chunks)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        before = data[: exc.start].decode("utf-8")
        place = place_of_offset(before, len(before))
        raise UnreadableManifest(f"is not UTF-8 (byte 0x{data[exc.start]:02x})", "save it as UTF-8", place) from exc
