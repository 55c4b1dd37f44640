"""Logging for a library: what the program has set up is used, else Python's own logging and nothing below a warning."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

import structlog


def log_as_a_library() -> None:
    """Hand records to Python's logging where the program has not configured structlog: that prints all to stdout."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _as_line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def _as_line(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    name = str(event.pop("event", ""))
    event.pop("exc_info", None)
    return " ".join([name, *(f"{key}={value!r}" for key, value in event.items())])
