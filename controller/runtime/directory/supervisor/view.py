"""What a sandbox's processes see of the machine's folders: a mount and an IPC namespace of their own."""

from __future__ import annotations

import ctypes
import os
from typing import Final, NamedTuple

SHARED_MEMORY: Final = "/dev/shm"

_CLONE_NEWNS, _CLONE_NEWIPC = 0x00020000, 0x08000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND = 0x1, 0x2, 0x4, 0x20, 0x1000
_MS_REC, _MS_SLAVE = 0x4000, 0x80000
_MNT_DETACH = 0x2

libc = ctypes.CDLL(None, use_errno=True)


class View(NamedTuple):
    """`hidden` are folders that its user may not pass through: each is covered by an empty one, in which only `binds`
    (path, read-only) below it can be seen. `covers` are folders that everybody may write, and what is there instead.

    `skill` is a folder and the path at which it is seen; None: none is. `scratch` is a folder to work at for that.
    `shm_bytes` is the size of a /dev/shm of its own, which like its IPC objects goes with its last process; None: it
    has the machine's.
    """

    hidden: list[str]
    binds: list[tuple[str, bool]]
    covers: list[tuple[str, str]]
    shm_bytes: int | None
    skill: tuple[str, str] | None = None
    scratch: str = ""


def enter(view: View) -> None:
    """To be called in a child with one thread. Raises OSError."""
    os.umask(0o022)
    check(libc.unshare(_CLONE_NEWNS | _CLONE_NEWIPC))
    # Slave, not private: what the host unmounts later goes away in here too, and is not kept busy.
    _mount(None, "/", None, _MS_REC | _MS_SLAVE)
    binds = [(_handle(path), path, read_only) for path, read_only in view.binds]
    covers = [(_handle(folder), place) for place, folder in view.covers]
    skill = None if view.skill is None else _handle(view.skill[0])
    _hide(view.hidden, binds)
    for handle, place in covers:
        _bind(handle, place)
        _mount(None, place, None, _MS_REMOUNT | _MS_BIND | _MS_NOSUID | _MS_NODEV)
    if view.shm_bytes is not None:
        options = f"mode=1777,size={view.shm_bytes}".encode()
        _mount("tmpfs", SHARED_MEMORY, "tmpfs", _MS_NOSUID | _MS_NODEV, options)
    if view.skill is not None and skill is not None:
        _show(skill, view.skill[1], view.scratch)


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


def _show(handle: int, place: str, scratch: str) -> None:
    """Have a folder seen, read-only, at a place in the root where the machine need have none, nor is given one: the
    root becomes a new one, made of the machine's entries.
    """
    with os.scandir("/") as listed:
        # First the one that scratch is in: it is repeated with the new root in it, which is to be empty then.
        entries = sorted(listed, key=lambda entry: not f"{scratch}/".startswith(f"{entry.path}/"))
    _mount("tmpfs", scratch, "tmpfs", _MS_NOSUID | _MS_NODEV, b"mode=0755,size=64k")
    for entry in entries:
        if entry.path != place:
            _repeat(entry, f"{scratch}{entry.path}")
    target = f"{scratch}{place}"
    os.mkdir(target)
    _bind(handle, target)
    for made in (target, scratch):
        _mount(None, made, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    os.chdir(scratch)
    check(libc.pivot_root(b".", b"."), scratch)
    check(libc.umount2(b".", _MNT_DETACH), scratch)  # the former root, which lies over the new one
    os.chdir("/")
    check(libc.umount2(os.fsencode(scratch), _MNT_DETACH), scratch)  # the new root as its own entry repeats it


def _repeat(entry: os.DirEntry[str], target: str) -> None:
    """An entry of the machine's root in the new one; what we may not look at is left out."""
    try:
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), target)
            return
        if entry.is_dir(follow_symlinks=False):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        _mount(entry.path, target, None, _MS_BIND | _MS_REC)
    except PermissionError:
        return


def _handle(path: str) -> int:
    """What is there before anything covers it."""
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def _bind(handle: int, target: str) -> None:
    _mount(f"/proc/self/fd/{handle}", target, None, _MS_BIND)
    os.close(handle)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: bytes | None = None) -> None:
    names = (None if name is None else os.fsencode(name) for name in (source, target, kind))
    check(libc.mount(*names, ctypes.c_ulong(flags), data), target)
