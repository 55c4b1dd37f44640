"""structlog set up for a daemon: JSON off a terminal, coloured lines on one, and never a known secret."""

from __future__ import annotations

import logging
import threading
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from controller.report.console import ConsoleLines
from controller.report.redaction import SecretRedactor


def configure_logging(
    stream: TextIO, level: str = "info", json: bool | None = None, redactor: SecretRedactor | None = None
) -> None:
    """Write structlog's events, and what libraries log at warning and above, as lines on the stream.

    `level` is debug, info, warning or error. `json` None: JSON unless the stream is a terminal. Context variables
    (the sandbox and the pass of a worker) come with every event. A stream that cannot be written loses lines, no more.
    """
    as_json = not stream.isatty() if json is None else json
    sink = _Sink(stream)
    structlog.configure(
        processors=_processors(as_json, stream.isatty(), redactor or SecretRedactor()),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_ToStructlog()], level=logging.WARNING, force=True)


def _processors(as_json: bool, colors: bool, redactor: SecretRedactor) -> list[Processor]:
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        structlog.processors.UnicodeDecoder(),
        redactor,
    ]
    if as_json:
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        return [*shared, stamp, _put_event_first, structlog.processors.JSONRenderer()]
    stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
    return [*shared, stamp, ConsoleLines(colors)]


def _put_event_first(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    first = ("timestamp", "level", "event", "sandbox", "pass_id")
    return {name: event[name] for name in (*(name for name in first if name in event), *event.keys())}


class _Sink:
    """Where rendered lines go: each whole, whichever thread writes it, and never an error into a worker."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def msg(self, line: str) -> None:
        """Write one line."""
        with self._lock, suppress(OSError, ValueError):  # a full disk, a gone reader, a closed stream
            self._stream.write(line.encode(errors="backslashreplace").decode() + "\n")
            self._stream.flush()

    debug = info = warning = warn = error = exception = critical = fatal = log = failure = msg


class _ToStructlog(logging.Handler):
    """What libraries log, as structlog's events."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one record over."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            text = str(record.msg)
        level = max(logging.DEBUG, min(logging.CRITICAL, record.levelno // 10 * 10))  # the levels structlog names
        structlog.get_logger().log(level, text, logger=record.name, exc_info=record.exc_info or None)
