"""What a plain (unquoted) YAML scalar means: JSON's values, and nothing that YAML 1.1 and 1.2 read differently."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

Scalar = str | int | float | bool | None

_CONSTANTS: Final[dict[str, Scalar]] = {"": None, "~": None, "null": None, "true": True, "false": False}
_BOOLEAN_LOOKALIKES: Final = frozenset(
    form
    for word in ("yes", "no", "on", "off", "true", "false")
    for form in (word, word.capitalize(), word.upper())
    if form not in _CONSTANTS
)
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_SEXAGESIMAL: Final = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_AMBIGUOUS_NUMBER: Final = re.compile(
    r"[-+]?(?:0[0-9_]+|0[box][0-9a-fA-F_]+|[0-9]+_[0-9_.]*|(?<=[-+])\.[0-9]+|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))"
)
_MOST_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class Surprise:
    """Why a plain scalar is refused, and what to write instead."""

    message: str
    hint: str


def resolve_plain(text: str) -> Scalar | Surprise:
    """The JSON value of a plain scalar, or the Surprise it would hold for someone.

    Only `true` and `false` are booleans. `yes`, `22:30`, `0755`, `1_000` and `.nan` are refused; dates are strings.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text in _BOOLEAN_LOOKALIKES:
        meant = "true" if text.lower() in {"yes", "on", "true"} else "false"
        return Surprise(f"{text} is a boolean in some YAML readers and text in others", _quote(text, f"{meant}, or"))
    if text[0] in "-+.0123456789":
        return _resolve_number(text)
    return text


def _resolve_number(text: str) -> Scalar | Surprise:
    if _SEXAGESIMAL.fullmatch(text):
        return Surprise(f"{text} is a number in base 60 to some YAML readers", _quote(text))
    if _AMBIGUOUS_NUMBER.fullmatch(text):
        return Surprise(f"{text} is not the same number to all YAML readers", _quote(text, "a decimal number, or"))
    if _INTEGER.fullmatch(text):
        return (
            int(text) if len(text.lstrip("+-")) <= _MOST_DIGITS else Surprise("the number is too large", _quote(text))
        )
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else Surprise("the number is too large", _quote(text))
    return text


def _quote(text: str, otherwise: str = "") -> str:
    shown = text if len(text) <= 40 else f"{text[:37]}..."
    return f'write {otherwise} "{shown}" in quotes'.replace("  ", " ")
