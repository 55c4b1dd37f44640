"""Holds in a file of their own, so that rebuilding the state store loses none of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from controller.model.clock import Clock, SystemClock
from controller.model.errors import StateError
from controller.model.hold import Hold
from controller.report.codec import decode, encode
from controller.report.files import replace_file, set_aside

_VERSION: Final = 1

log = structlog.get_logger(__name__)


class JsonHoldStore:
    """A HoldStore: `{"version": 1, "holds": [...]}`, replaced atomically. One process and one writer at a time."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock or SystemClock()

    def load(self) -> Sequence[Hold]:
        """All holds. A damaged file is set aside as `<name>.damaged-<time>` and logged; what is whole in it still
        counts, the rest is not guessed: the manifest wins. Raises StateError where the file cannot be read or moved.
        """
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise StateError(f"holds {self._path} cannot be read ({exc.strerror}); make it readable") from exc
        holds, fault = _parse(content)
        if fault:
            self._set_aside(fault, kept=len(holds))
            self.save(holds)
        return holds

    def save(self, holds: Sequence[Hold]) -> None:
        """Replace all holds; durable on return. Raises StateError, and the former holds are then still in the file."""
        data = {"version": _VERSION, "holds": encode(tuple(holds))}
        try:
            replace_file(self._path, json.dumps(data, indent=1).encode())
        except OSError as exc:
            raise StateError(
                f"holds {self._path} cannot be written ({exc.strerror}); free some space or make the folder writable"
            ) from exc

    def _set_aside(self, fault: str, kept: int) -> None:
        try:
            aside = set_aside(self._path, self._clock.now())
        except OSError as exc:
            raise StateError(
                f"holds {self._path} are damaged ({fault}) and cannot be moved ({exc.strerror}); move them away"
            ) from exc
        log.warning("holds damaged", fault=fault, set_aside=str(aside), holds_kept=kept)


def _parse(content: bytes) -> tuple[list[Hold], str]:
    """The holds that can be read, and what is wrong with the rest."""
    try:
        return _parse_entries(json.loads(content)["holds"])
    except (ValueError, KeyError, TypeError) as exc:
        return [], f"not a file of holds: {exc!r}"


def _parse_entries(entries: Sequence[Any]) -> tuple[list[Hold], str]:
    holds, fault = [], ""
    for entry in entries:
        try:
            holds.append(decode(Hold, entry))
        except StateError as exc:
            fault = str(exc)
    return holds, fault
