"""What a sandbox's processes see of the machine's folders: a mount and an IPC namespace of their own."""

from __future__ import annotations

import ctypes
import os
from typing import Final, NamedTuple

SHARED_MEMORY: Final = "/dev/shm"

_CLONE_NEWNS, _CLONE_NEWIPC = 0x00020000, 0x08000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND = 0x1, 0x2, 0x4, 0x20, 0x1000
_MS_REC, _MS_SLAVE = 0x4000, 0x80000

libc = ctypes.CDLL(None, use_errno=True)


class View(NamedTuple):
    """`hidden` are folders that its user may not pass through: each is covered by an empty one, in which only `binds`
    (path, read-only) below it can be seen. `covers` are folders that everybody may write, and what is there instead.

    `shm_bytes` is the size of a /dev/shm of its own, which like its IPC objects goes with its last process; None: it
    has the machine's.
    """

    hidden: list[str]
    binds: list[tuple[str, bool]]
    covers: list[tuple[str, str]]
    shm_bytes: int | None


def enter(view: View) -> None:
    """To be called in a child with one thread. Raises OSError."""
    os.umask(0o022)
    check(libc.unshare(_CLONE_NEWNS | _CLONE_NEWIPC))
    # Slave, not private: what the host unmounts later goes away in here too, and is not kept busy.
    _mount(None, "/", None, _MS_REC | _MS_SLAVE)
    binds = [(_handle(path), path, read_only) for path, read_only in view.binds]
    covers = [(_handle(folder), place) for place, folder in view.covers]
    _hide(view.hidden, binds)
    for handle, place in covers:
        _bind(handle, place)
        _mount(None, place, None, _MS_REMOUNT | _MS_BIND | _MS_NOSUID | _MS_NODEV)
    if view.shm_bytes is not None:
        options = f"mode=1777,size={view.shm_bytes}".encode()
        _mount("tmpfs", SHARED_MEMORY, "tmpfs", _MS_NOSUID | _MS_NODEV, options)


def check(result: int, path: str | None = None) -> None:
    """Raise the OSError of a call of libc's that has failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


def _hide(hidden: list[str], binds: list[tuple[int, str, bool]]) -> None:
    for folder in hidden:
        _mount("tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, b"mode=0711,size=64k")
    for handle, path, read_only in binds:
        os.makedirs(path, mode=0o711, exist_ok=True)
        _bind(handle, path)
        if read_only:
            _mount(None, path, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    for folder in hidden:
        _mount(None, folder, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def _handle(path: str) -> int:
    """What is there before anything covers it."""
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def _bind(handle: int, target: str) -> None:
    _mount(f"/proc/self/fd/{handle}", target, None, _MS_BIND)
    os.close(handle)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: bytes | None = None) -> None:
    names = (None if name is None else os.fsencode(name) for name in (source, target, kind))
    check(libc.mount(*names, ctypes.c_ulong(flags), data), target)
