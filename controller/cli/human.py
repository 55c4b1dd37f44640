"""Amounts and ages in the few letters that a table has room for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_UNITS: Final = ("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_LETTERS: Final = {1: "s", _MINUTE: "m", _HOUR: "h", _DAY: "d"}
# Below so many seconds, an age is told in this unit and that finer one.
_SPANS: Final = (
    (10 * _MINUTE, _MINUTE, 1),
    (3 * _HOUR, _MINUTE, 0),
    (8 * _HOUR, _HOUR, _MINUTE),
    (2 * _DAY, _HOUR, 0),
    (8 * _DAY, _DAY, _HOUR),
    (float("inf"), _DAY, 0),
)
NONE: Final = "-"


def age(seconds: float | None) -> str:
    """At most two units, the finer one while it says something: 45s, 3m12s, 25m, 5h3m, 30h, 12d."""
    if seconds is None:
        return NONE
    rest = max(0, int(seconds))
    if rest < 120:
        return f"{rest}s"
    _, coarse, fine = next(span for span in _SPANS if rest < span[0])
    smaller = rest % coarse // fine if fine else 0
    return f"{rest // coarse}{_LETTERS[coarse]}" + (f"{smaller}{_LETTERS[fine]}" if smaller else "")


def size(count: float | None) -> str:
    """Bytes as 812Ki, 3.4Mi, 120Mi, 1.5Gi."""
    if count is None:
        return NONE
    for unit, factor in _UNITS:
        if count >= factor:
            return f"{_short(count / factor)}{unit}"
    return f"{count:.0f}"


def cpu(millis: float | None) -> str:
    """Thousandths of a core as 120m, 1.5, 2."""
    if millis is None:
        return NONE
    return f"{millis:.0f}m" if millis < 1000 else _short(millis / 1000)


def percent(value: float | None, limit: float | None) -> str:
    """The value as a share of its limit."""
    if value is None or not limit:
        return NONE
    return f"{100 * value / limit:.0f}%"


def moment(seconds: float | None) -> str:
    """Epoch seconds as a local time with its offset."""
    if seconds is None:
        return NONE
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S%z")


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0") if value < 10 else f"{value:.0f}"
