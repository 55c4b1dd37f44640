"""Touching files with the rights of a sandbox's user, so that the kernel refuses what that user may not do."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from controller.model.errors import ToolError

T = TypeVar("T")

# The C library's own setgroups changes every thread of the process; the system call changes only the one that makes it.
_SETGROUPS: Final = {
    "x86_64": 116,
    "aarch64": 159,
    "riscv64": 159,
    "loongarch64": 159,
    "ppc64le": 81,
    "s390x": 206,
}
_ASK: Final = 0xFFFFFFFF


def as_user(owner: tuple[int, int], work: Callable[[], T], release: Callable[[], None]) -> T:
    """Run `work` in a thread that has this user's and group's rights on files, and no other group's nor root's.

    Only root can do that, and does unless the user is root: else `work` runs as we are. The user id proper stays ours,
    so that the sandbox can neither signal nor trace us meanwhile. `release` is called once, after `work`, even where
    the caller is interrupted before. Raises what `work` raises; ToolError where root lacks CAP_SETUID or CAP_SETGID.
    """
    errand = _Errand(owner, work, release)
    if os.geteuid() != 0 or owner[0] == 0:
        errand.run(as_we_are=True)
        return errand.result()
    thread = threading.Thread(target=errand.run, name="as-sandbox-user", daemon=True)
    try:
        thread.start()
    except RuntimeError as exc:
        release()
        raise ToolError(f"no thread can be started ({exc}): raise the limit of the controller's tasks") from exc
    thread.join()
    return errand.result()


class _Errand(Generic[T]):
    """What a thread does before it ends: it never gets its former rights back, so none can forget to restore them."""

    def __init__(self, owner: tuple[int, int], work: Callable[[], T], release: Callable[[], None]) -> None:
        self._owner = owner
        self._work = work
        self._release = release
        self._results: list[T] = []
        self._fault: BaseException | None = None

    def run(self, *, as_we_are: bool = False) -> None:
        try:
            if not as_we_are:
                _become(*self._owner)
            self._results.append(self._work())
        except BaseException as exc:  # noqa: BLE001 - raised again by whoever waits
            self._fault = exc
        finally:
            self._release()

    def result(self) -> T:
        if self._fault is not None:
            raise self._fault
        return self._results[0]


def _become(uid: int, gid: int) -> None:
    libc = ctypes.CDLL(None)
    number = _SETGROUPS.get(platform.machine()) if struct.calcsize("P") == 8 else None
    if os.getgroups() and (number is None or libc.syscall(ctypes.c_long(number), ctypes.c_size_t(0), None) != 0):
        raise ToolError(f"cannot act as user {uid}: this process may not leave its groups (it needs CAP_SETGID)")
    for change, id in ((libc.setfsgid, gid), (libc.setfsuid, uid)):
        change(ctypes.c_uint(id))
        if ctypes.c_uint(change(ctypes.c_uint(_ASK))).value != id:
            raise ToolError(f"cannot act as user {uid}: this process may not (it needs CAP_SETUID and CAP_SETGID)")
