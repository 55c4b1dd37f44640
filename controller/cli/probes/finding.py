"""What a probe finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Level(StrEnum):
    """ok; warn: something works less well, or not at all where nobody needs it; fail: something broken."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's. `advice` says what to do."""

    level: Level
    check: str
    message: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Setup:
    """Whose doctor it is: a daemon's state folder, and the engine's address as the daemon would be given it."""

    state_dir: Path
    engine: str | None = None


Probe = Callable[[Setup], Iterable[Finding]]


def ok(check: str, message: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, check, message)


def warn(check: str, message: str, advice: str) -> Finding:
    """Something works less well."""
    return Finding(Level.WARN, check, message, advice)


def fail(check: str, message: str, advice: str) -> Finding:
    """Something is broken."""
    return Finding(Level.FAIL, check, message, advice)
