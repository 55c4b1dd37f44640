"""jsonschema's errors as faults of a field: what is wrong in the manifest's own words, and what would be right.

Three annotations of our schemas word a fault better than JSON Schema can: `x-message` (what the value must be),
`x-notYet` (fields or values of a later version) and `x-never` (fields or values that will never be had, and why).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jsonschema import ValidationError

from controller.model.manifest import FieldFault, FieldPath

_NOUNS: Final = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_FORMAT_HINTS: Final = {
    "percentage": "write it as 80%",
    "time-span": "write it as 90s, 10m or 1h30m",
    "date-time": "write it as 2027-01-31T18:00:00Z",
}


@dataclass(frozen=True, slots=True)
class SchemaFault:
    """A field's fault; `at_key` where its key is at fault rather than its value."""

    fault: FieldFault
    at_key: bool = False


def faults_of(errors: Iterable[ValidationError]) -> list[SchemaFault]:
    """The faults of a document. Where a format names a field's fault, the coarser pattern's word is dropped."""
    found = [_Finding.of(error) for error in errors]
    formatted = {finding.path for finding in found if finding.keyword == "format"}
    kept = (finding for finding in found if finding.keyword != "pattern" or finding.path not in formatted)
    return list(dict.fromkeys(fault for finding in kept for fault in _faults(finding)))


def closest(written: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, whatever its case, or None."""
    by_case = {word.lower(): word for word in known}
    near = difflib.get_close_matches(written.lower(), by_case, n=1, cutoff=0.7)
    return by_case[near[0]] if near else None


@dataclass(frozen=True, slots=True)
class _Finding:
    """One error of jsonschema: which keyword failed, what it wanted, and on what. `of_key`: the value is a key."""

    keyword: str
    wanted: Any
    schema: Mapping[str, Any]
    value: Any
    path: FieldPath
    cause: str
    of_key: bool

    @classmethod
    def of(cls, error: ValidationError) -> _Finding:
        of_key = "propertyNames" in error.absolute_schema_path
        return cls(
            keyword=str(error.validator),
            wanted=error.validator_value,
            schema=error.schema if isinstance(error.schema, Mapping) else {},
            value=error.instance,
            path=(*error.absolute_path, str(error.instance)) if of_key else tuple(error.absolute_path),
            cause=str(error.cause or error.message),
            of_key=of_key,
        )


def _faults(finding: _Finding) -> Iterator[SchemaFault]:
    if finding.keyword == "additionalProperties":
        unknown = (key for key in finding.value if key not in finding.schema["properties"])
        yield from (SchemaFault(_unknown(finding, key), at_key=True) for key in unknown)
    elif finding.keyword == "required":
        yield from (SchemaFault(_missing(finding, key)) for key in finding.wanted if key not in finding.value)
    else:
        yield SchemaFault(FieldFault(finding.path, _message(finding), _hint(finding)), finding.of_key)


def _unknown(finding: _Finding, key: str) -> FieldFault:
    path, never = (*finding.path, key), finding.schema.get("x-never", {})
    if key in never:
        return FieldFault(path, "can never be set", never[key])
    if key in finding.schema.get("x-notYet", ()):
        return FieldFault(path, "is not yet supported by this version", "remove it for now")
    known = list(finding.schema["properties"])
    near = closest(key, known)
    return FieldFault(path, "is not a known field", f"did you mean {near}?" if near else f"known: {', '.join(known)}")


def _missing(finding: _Finding, key: str) -> FieldFault:
    example = finding.schema.get("properties", {}).get(key, {}).get("examples", [None])[0]
    hint = f"for example {key}: {json.dumps(example)}" if example is not None else ""
    return FieldFault((*finding.path, key), finding.schema.get("x-message", "is missing"), hint)


def _message(finding: _Finding) -> str:
    wanted, value = finding.wanted, finding.value
    match finding.keyword:
        case "type":
            nouns = [_NOUNS[name] for name in ([wanted] if isinstance(wanted, str) else wanted)]
            text = f"must be {' or '.join(nouns)}, not {_shown(value)}"
        case "enum":
            text = _enum_message(finding)
        case "pattern" if "x-message" in finding.schema:
            text = f"{_shown(value)} {finding.schema['x-message']}"
        case "minimum":
            text = f"{value} is too small; the least is {wanted}"
        case "maximum":
            text = f"{value} is too large; the most is {wanted}"
        case "minLength":
            text = "must not be empty"
        case "uniqueItems":
            text = "holds the same entry twice"
        case _:
            text = finding.schema.get("x-message", finding.cause)
    return text


def _enum_message(finding: _Finding) -> str:
    value, never = finding.value, finding.schema.get("x-never", {})
    if value in finding.schema.get("x-notYet", ()):
        return f"{value} is not yet supported by this version"
    if isinstance(value, str) and value in never:
        return f"{value} can never be set: {never[value]}"
    return f"{_shown(value)} is not one of {', '.join(map(str, finding.wanted))}"


def _hint(finding: _Finding) -> str:
    if finding.keyword == "enum":
        near = closest(str(finding.value), finding.wanted)
        return f"did you mean {near}?" if near else ""
    return _type_hint(finding) if finding.keyword == "type" else ""


def _type_hint(finding: _Finding) -> str:
    wanted, value = finding.wanted, finding.value
    if value is None:
        return "remove the field, or give it a value"
    if finding.schema.get("format") in _FORMAT_HINTS:
        return _FORMAT_HINTS[finding.schema["format"]]
    if wanted == "string" and isinstance(value, bool | int | float):
        return "put it in quotes"
    if wanted in ("integer", "number", "boolean") and isinstance(value, str):
        return "write it without quotes"
    return "write [a, b], or one '- ' line each" if wanted == "array" else ""


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict | list):
        return _NOUNS["object" if isinstance(value, dict) else "array"]
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
