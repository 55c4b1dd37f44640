"""Waiting for SIGTERM or SIGINT without missing one.

A signal that comes in the instant before a lock is waited for does not interrupt that wait, and Python's handler would
then run whenever the main thread next wakes. A byte in a pipe stays until it is read.
"""

from __future__ import annotations

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Final, Self

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_INTERRUPTED: Final = 130


class StopSignals:
    """From entering it on, the first signal asks for an orderly end; a second one ends the process at once.

    To be entered and waited on in the main thread.
    """

    def __init__(self) -> None:
        self._asked = False

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, timeout: float | None) -> bool:
        """True once a signal has come; False after `timeout` seconds without one."""
        if not self._asked and select.select([self._reader], [], [], timeout)[0]:
            os.read(self._reader, 64)
        return self._asked

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked:
            os._exit(_INTERRUPTED)
        self._asked = True
