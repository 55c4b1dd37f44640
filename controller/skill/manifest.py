"""The Sandbox manifest that gives a skill what it needs and no more, with a reason for each line."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from controller.skill.definition import ToolType
from controller.skill.parse import Inspection

_DEFAULT_PYTHON: Final = "3.11"
_LONGEST_NAME: Final = 63
_RUNS_NOTHING: Final = frozenset({ToolType.FILESYSTEM, ToolType.CODEBASE_SEARCH, ToolType.WEB_SEARCH})
_MOST_NAMED: Final = 3

Value = str | int | bool


@dataclass(frozen=True, slots=True)
class ManifestLine:
    """A field of the manifest, its value, and why it has that value; the reason is empty where there is no choice."""

    path: tuple[str, ...]
    value: Value
    reason: str = ""


def least_privilege(skill: Inspection, path: str, is_strict: bool) -> list[ManifestLine]:
    """The manifest, line by line in its order.

    `path` is how it names the skill; `is_strict`: the skill passes strict validation.
    """
    return [
        ManifestLine(("apiVersion",), "sandkeeper.dev/v1alpha1"),
        ManifestLine(("kind",), "Sandbox"),
        ManifestLine(("metadata", "name"), _label(skill), "the skill's name"),
        ManifestLine(("spec", "isolation"), "container", "a skill brings code of others"),
        ManifestLine(("spec", "image"), *_image(skill)),
        ManifestLine(("spec", "skill", "path"), path, "where it lies, seen from this manifest"),
        ManifestLine(("spec", "skill", "validation"), *_validation(is_strict)),
        *_limits(skill),
        ManifestLine(("spec", "network", "mode"), "none", _network(skill)),
        ManifestLine(("spec", "filesystem", "readOnlyRoot"), True, "only the workspace and /tmp are written to"),
    ]


def as_document(lines: Sequence[ManifestLine]) -> dict[str, Any]:
    """The manifest as plain data."""
    document: dict[str, Any] = {}
    for line in lines:
        holder = document
        for part in line.path[:-1]:
            holder = holder.setdefault(part, {})
        holder[line.path[-1]] = line.value
    return document


def _label(skill: Inspection) -> str:
    """The skill's name as a sandbox may have it: an RFC 1123 label."""
    ascii_only = unicodedata.normalize("NFKD", skill.skill.definition.name).encode("ascii", "ignore").decode()
    label = re.sub(r"[^a-z0-9]+", "-", ascii_only.lower())[: _LONGEST_NAME + 1].strip("-")[:_LONGEST_NAME].strip("-")
    return label or f"skill-{skill.skill.digest[:8]}"


def _image(skill: Inspection) -> tuple[str, str]:
    version = skill.skill.python_version
    if not version:
        return f"python:{_DEFAULT_PYTHON}-slim", "the default: no version of Python is named"
    return f"python:{version}-slim", f"Python {version} is named in {skill.python_from}"


def _validation(is_strict: bool) -> tuple[str, str]:
    if is_strict:
        return "strict", "it has no fault now, and is to keep so"
    return "lenient", "strict would refuse it: see sandkeeper skill validate"


def _limits(skill: Inspection) -> Iterator[ManifestLine]:
    running = _what_runs(skill)
    values: tuple[Value, ...] = ("512Mi", "1", 128, "1Gi", 1024) if running else ("128Mi", "0.5", 32, "256Mi", 256)
    size = f"the default: {running}" if running else "little: its tools only read and write files"
    reasons = (
        size,
        "so much of the machine's cores and no more",
        "processes and threads together; a fork bomb ends here",
        "the workspace and whatever else it writes",
        "in each of its processes",
    )
    for name, value, reason in zip(("memory", "cpu", "pids", "disk", "openFiles"), values, reasons, strict=True):
        yield ManifestLine(("spec", "resources", "limits", name), value, reason)


def _what_runs(skill: Inspection) -> str:
    """What of the skill runs code; empty where nothing does."""
    if skill.scripts:
        return f"it has scripts ({_some(skill.scripts)})"
    tools = [tool.name for tool in skill.skill.definition.tools if tool.tool_type not in _RUNS_NOTHING]
    if tools:
        return f"tools run code ({_some(tools)})"
    return f"it has packages ({_some(skill.skill.packages)})" if skill.packages else ""


def _network(skill: Inspection) -> str:
    tools = [tool.name for tool in skill.skill.definition.tools if tool.tool_type is ToolType.WEB_SEARCH]
    if tools:
        return f"{_some(tools)}: yours to register, runs outside; mode bridge opens outbound traffic"
    return "nothing in the skill asks for one; packages are installed before"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
