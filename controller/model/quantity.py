"""Quantities as people write them: memory, cpu, percentages and durations.

Suffixes are Kubernetes' (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/) plus
Docker's lower-case ones for memory: `512m` is 512 MiB, since milli-bytes mean nothing.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from controller.model.errors import QuantityError

_BINARY: Final = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50}
_DECIMAL: Final = {"M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_DOCKER: Final = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_MEMORY_UNITS: Final = {"": 1, "K": 10**3, **_BINARY, **_DECIMAL, **_DOCKER}
_MEMORY: Final = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)([A-Za-z]{0,2})", re.ASCII)
_CPU: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(m?)", re.ASCII)
_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)%", re.ASCII)
_DURATION: Final = re.compile(
    r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m(?!s))?(?:(\d{1,9}(?:\.\d{1,3})?)s)?(?:(\d{1,9})ms)?", re.ASCII
)
_LARGEST: Final = (1 << 63) - 1  # what engines and kernels count in
_DURATION_FACTORS: Final = (86400.0, 3600.0, 60.0, 1.0, 0.001)


def parse_memory(text: str | int) -> int:
    """Bytes from `512Mi`, `1Gi`, `512m`, `512M`, `1.5g` or a plain number of bytes.

    Raises QuantityError on anything else.
    """
    matched = _MEMORY.fullmatch(str(text))
    if matched is None or matched[2] not in _MEMORY_UNITS:
        raise QuantityError(f"{text!r} is not an amount of memory; write 512Mi, 1Gi or 512m")
    size = _size(matched)
    if size > _LARGEST:
        raise QuantityError(f"{text!r} is more than any machine has; write 512Mi, 1Gi or 512m")
    return size


def _size(matched: re.Match[str]) -> int:
    return round(Decimal(matched[1]) * _MEMORY_UNITS[matched[2]])


def memory_hint(text: str | int) -> str | None:
    """What `validate` says of a decimal suffix that was probably meant as binary, or None."""
    matched = _MEMORY.fullmatch(str(text))
    if matched is None or matched[2] not in _DECIMAL:
        return None
    return f"{text} is decimal ({_size(matched)} bytes); {text}i is the binary unit that engines report"


def parse_cpu(text: str | float) -> int:
    """Thousandths of a core from `1`, `0.5`, `500m`. Raises QuantityError."""
    matched = _CPU.fullmatch(str(text))
    if matched is None:
        raise QuantityError(f"{text!r} is not an amount of cpu; write 500m, 0.5 or 2")
    # Not a float: 1.001 cores would be a little less than 1001 thousandths.
    millis = Decimal(matched[1]) * (1 if matched[2] else 1000)
    if millis != int(millis) or millis < 1:
        raise QuantityError(f"{text!r} is finer than a thousandth of a core; the least is 1m")
    return int(millis)


def parse_percent(text: str) -> float:
    """A fraction of one from `80%`; 0.8. Raises QuantityError below 0% and above 100%."""
    matched = _PERCENT.fullmatch(text)
    if matched is None or float(matched[1]) > 100:
        raise QuantityError(f"{text!r} is not a percentage; write 80%")
    return float(matched[1]) / 100


def parse_duration(text: str) -> float:
    """Seconds from `90s`, `10m`, `1h30m`, `500ms`, `2d`. Raises QuantityError."""
    matched = _DURATION.fullmatch(text)
    if matched is None or not text:
        raise QuantityError(f"{text!r} is not a duration; write 90s, 10m or 1h30m")
    return sum(float(part) * factor for part, factor in zip(matched.groups(), _DURATION_FACTORS, strict=True) if part)


def format_memory(size: int | float) -> str:
    """The shortest exact binary quantity: 536870912 becomes `512Mi`; an odd number stays in bytes."""
    for unit, factor in reversed(_BINARY.items()):
        if size >= factor and size % factor == 0:
            return f"{int(size) // factor}{unit}"
    return str(int(size))


def format_cpu(millis: int) -> str:
    """`1` for 1000, `500m` for 500."""
    return str(millis // 1000) if millis % 1000 == 0 else f"{millis}m"


def format_duration(seconds: float) -> str:
    """`1h30m` for 5400, `250ms` for 0.25; at most the two largest units."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    rest, parts = round(seconds), []
    for unit, factor in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, factor)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2])
