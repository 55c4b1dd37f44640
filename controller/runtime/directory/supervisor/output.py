"""A log file that cannot grow without bound."""

from __future__ import annotations

import os


class CappedLog:
    """Appends to a file (0600); past `cap` bytes it becomes `<path>.1`, in place of a former one, and a new one begins.

    Output that cannot be written (no space, folder removed) is dropped: a sandbox's log never stops its supervisor.
    """

    def __init__(self, path: str, cap: int) -> None:
        self._path = path
        self._cap = cap
        self._descriptor: int | None = None
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append."""
        for start in range(0, len(data), self._cap):
            self._append(data[start : start + self._cap])

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _append(self, data: bytes) -> None:
        try:
            descriptor = self._opened()
            if self._size and self._size + len(data) > self._cap:
                self.close()
                os.rename(self._path, f"{self._path}.1")
                descriptor = self._opened()
            self._size += os.write(descriptor, data)
        except OSError:
            self.close()

    def _opened(self) -> int:
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, 0o600)
            self._size = os.fstat(self._descriptor).st_size
        return self._descriptor
