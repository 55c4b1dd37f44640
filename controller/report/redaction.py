"""Known secret values, kept out of every line that is logged."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Final

REDACTED: Final = "[redacted]"

_SHORT: Final = 4
_LINE: Final = 8

_PLAIN: Final = (int, float, bool, type(None))


class SecretRedactor:
    """Replaces each value that was added, in texts and in structlog's event dicts. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, value: str) -> None:
        """Redact this value from now on: whole, as JSON would escape it, and each longer line of it.

        One shorter than four characters is only found as a word of its own, or nothing could be read any more.
        """
        forms = set(_forms(value))
        with self._lock:
            if forms <= self._values:
                return
            self._values |= forms
            longest_first = sorted(self._values, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(_pattern_of, longest_first)))

    def redact(self, text: str) -> str:
        """The text without any of the values."""
        return text if self._pattern is None else self._pattern.sub(REDACTED, text)

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """As a structlog processor: everything but plain numbers becomes redacted text, lists and maps of it."""
        if self._pattern is None:
            return event
        return {name: self._redact_value(value) for name, value in event.items()}

    def _redact_value(self, value: Any) -> Any:
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, Mapping):
            return {self.redact(str(name)): self._redact_value(item) for name, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._redact_value(item) for item in value]
        return self.redact(value if isinstance(value, str) else str(value))


def _forms(value: str) -> Iterator[str]:
    stripped = value.strip()
    if not stripped:
        return
    yield stripped
    yield json.dumps(stripped)[1:-1]
    yield repr(stripped)[1:-1]
    yield from (line.strip() for line in stripped.splitlines() if len(line.strip()) >= _LINE)


def _pattern_of(value: str) -> str:
    escaped = re.escape(value)
    return rf"(?<!\w){escaped}(?!\w)" if len(value) < _SHORT else escaped
