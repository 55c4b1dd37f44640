"""The formats that schemas use beyond JSON Schema's own, and where in a document they stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from jsonschema import FormatChecker

from controller.model.errors import QuantityError
from controller.model.manifest import FieldPath
from controller.model.quantity import parse_cpu, parse_duration, parse_memory, parse_percent

MEMORY: Final = "memory-quantity"
HOST_PATH: Final = "host-path"
SKILL_PATH: Final = "skill-path"


def format_checker() -> FormatChecker:
    """Checks quantities, percentages, durations and RFC 3339 times; a fault's cause is a QuantityError."""
    checker = FormatChecker(formats=())
    checker.checks(MEMORY, raises=QuantityError)(_is_memory)
    checker.checks("cpu-quantity", raises=QuantityError)(_is_cpu)
    checker.checks("percentage", raises=QuantityError)(_is_percentage)
    checker.checks("time-span", raises=QuantityError)(_is_time_span)
    checker.checks("date-time", raises=QuantityError)(_is_date_time)
    return checker


def fields_of_format(schema: Mapping[str, Any], data: Any, wanted: str) -> Iterator[tuple[FieldPath, Any]]:
    """Every field of the data that the schema gives that format, with its value."""
    if schema.get("format") == wanted:
        yield (), data
    if isinstance(data, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        for key, value in data.items():
            below = properties.get(key, others)
            if isinstance(below, dict):
                yield from (((key, *path), found) for path, found in fields_of_format(below, value, wanted))
    elif isinstance(data, list) and isinstance(schema.get("items"), dict):
        for index, value in enumerate(data):
            found_below = fields_of_format(schema["items"], value, wanted)
            yield from (((index, *path), found) for path, found in found_below)


# A value of another type is the keyword `type`'s fault to report.


def _is_memory(value: object) -> bool:
    if isinstance(value, str | int) and not isinstance(value, bool):
        parse_memory(value)
    return True


def _is_cpu(value: object) -> bool:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        parse_cpu(value)
    return True


def _is_percentage(value: object) -> bool:
    if isinstance(value, str):
        parse_percent(value)
    return True


def _is_time_span(value: object) -> bool:
    if isinstance(value, str):
        parse_duration(value)
    return True


def _is_date_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    try:
        zoned = "T" in value.upper() and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        zoned = False
    if not zoned:
        raise QuantityError(f"{value!r} is not an RFC 3339 time with its zone; write 2027-01-31T18:00:00Z")
    return True
