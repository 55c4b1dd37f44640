"""The skill that a document names: found by the schema's format, read, and what is wrong with it told at its field."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from controller.model.errors import SandkeeperError
from controller.model.manifest import FieldFault, FieldPath
from controller.model.skill import SkillFacts
from controller.source.formats import SKILL_PATH, fields_of_format
from controller.source.skills import PASSING, Skills, SkillUse, not_as_seen

_LENIENT: Final = "lenient"


@dataclass(frozen=True, slots=True)
class NamedSkill:
    """A field that names a skill. `written` is absolute; `folder` is the manifest's; `refused`: it may not be had."""

    field: FieldPath
    written: Path
    folder: Path
    validation: str
    refused: bool


@dataclass(frozen=True, slots=True)
class FoundSkill:
    """What a document's skill is: None where it names none, and where it could not be read."""

    uses: tuple[SkillUse, ...] = ()
    facts: SkillFacts | None = None
    faults: tuple[FieldFault, ...] = ()


def named_skills(
    schema: Mapping[str, Any], body: Mapping[str, Any], folder: Path, refused: Collection[FieldPath]
) -> Iterator[NamedSkill]:
    """Every field of a document that names a skill; `folder` is the manifest's, `refused` the fields at fault."""
    for path, written in fields_of_format(schema, body, SKILL_PATH):
        holder: Any = body
        for part in path[:-1]:
            holder = holder[part]
        validation = holder.get("validation", _LENIENT)
        yield NamedSkill(path, folder.absolute() / written, folder, validation, path in refused)


def read_skill(named: NamedSkill, skills: Skills) -> FoundSkill:
    """What it is now. One that may be half written is not read: nothing is known of it, and nothing wrong with it."""
    if named.refused:
        return FoundSkill((skills.refuse(named.written),))
    if Path(os.path.realpath(named.folder)).is_relative_to(skills.place(named.written)):
        fault = FieldFault(named.field, "holds this manifest itself", "keep manifests outside of the skill's folder")
        return FoundSkill((skills.refuse(named.written),), faults=(fault,))
    use = skills.use(named.written)
    if not use.settled:
        return FoundSkill((use,))
    try:
        read = skills.read(use, named.validation)
    except SandkeeperError as exc:
        use = not_as_seen(use) if isinstance(exc, PASSING) else use
        return FoundSkill((use,), faults=(FieldFault(named.field, str(exc)),))
    warnings = tuple(FieldFault(named.field, warning, warning=True) for warning in read.warnings)
    return FoundSkill((replace(use, good=True),), read.facts, warnings)
