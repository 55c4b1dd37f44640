"""What the Agent Skills specification (agentskills.io) says of front matter, as its reference validator judges it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any, Final

from controller.model.manifest import Fault
from controller.skill.findings import Findings
from controller.skill.front_matter import FrontMatter

FIELDS: Final = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")
LONGEST_NAME: Final = 64
LONGEST_DESCRIPTION: Final = 1024
LONGEST_COMPATIBILITY: Final = 500


def check_front_matter(front: FrontMatter, folder: str | None, findings: Findings) -> None:
    """Find every breach. `folder` is the name of the skill's folder, None for a skill that is one file."""
    if front.document is None:
        return  # that there is nothing to look at is said
    findings.breaches += _unknown(front)
    findings.breaches += _name(front, folder)
    findings.breaches += _description(front)
    findings.breaches += _compatibility(front)
    findings.warnings += _beyond_the_reference(front)


def _unknown(front: FrontMatter) -> Iterator[Fault]:
    for name in front.fields:
        if name not in FIELDS:
            yield front.key_fault(name, "is not a field of an Agent Skill", f"use {', '.join(FIELDS)}")


def _name(front: FrontMatter, folder: str | None) -> Iterator[Fault]:
    written = front.fields.get("name")
    if not isinstance(written, str) or not written.strip():
        message = "must be text" if "name" in front.fields else "is missing"
        yield front.fault("name", message, "write lowercase letters, digits and single hyphens")
        return
    name = unicodedata.normalize("NFKC", written.strip())
    if len(name) > LONGEST_NAME:
        yield front.fault("name", f"has {len(name)} characters", f"at most {LONGEST_NAME}")
    if name != name.lower():
        yield front.fault("name", "is not all lowercase", f"write {_shown(name.lower())}")
    if not all(char.isalnum() or char == "-" for char in name):
        yield front.fault("name", "holds other characters than letters, digits and hyphens", "leave them out")
    if name.startswith("-") or name.endswith("-") or "--" in name:
        yield front.fault(
            "name", "may hold hyphens only one by one, between letters and digits", "leave out the others"
        )
    if folder is not None and unicodedata.normalize("NFKC", folder) != name:
        yield front.fault("name", f"is not the name of its folder, {folder}", "rename one of the two")


def _description(front: FrontMatter) -> Iterator[Fault]:
    description = front.fields.get("description")
    if not isinstance(description, str) or not description.strip():
        message = "must be text" if "description" in front.fields else "is missing"
        yield front.fault("description", message, "say what the skill does and when to use it")
    elif len(description) > LONGEST_DESCRIPTION:
        yield front.fault("description", f"has {len(description)} characters", f"at most {LONGEST_DESCRIPTION}")


def _compatibility(front: FrontMatter) -> Iterator[Fault]:
    compatibility = front.fields.get("compatibility", "")
    if not isinstance(compatibility, str):
        yield front.fault("compatibility", "must be text", "say what the skill needs, in a sentence")
    elif len(compatibility) > LONGEST_COMPATIBILITY:
        yield front.fault("compatibility", f"has {len(compatibility)} characters", f"at most {LONGEST_COMPATIBILITY}")


def _beyond_the_reference(front: FrontMatter) -> Iterator[Fault]:
    """What the specification asks for and its reference validator lets pass."""
    fields = front.fields
    if not fields.get("compatibility", "set"):
        yield front.fault("compatibility", "is empty", "leave it out")
    if "license" in fields and not isinstance(fields["license"], str):
        yield front.fault("license", "is not text", "name the license, or the file that holds it")
    if "metadata" in fields and not _is_text_map(fields["metadata"]):
        yield front.fault("metadata", "is not a map of text to text", "write 'key: value' lines below it, indented")
    if "allowed-tools" in fields and not isinstance(fields["allowed-tools"], str):
        yield front.fault("allowed-tools", "is not text", "write the tools on one line, with spaces between them")


def _is_text_map(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(below, str) for below in value.values())


def _shown(text: str) -> str:
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…"
