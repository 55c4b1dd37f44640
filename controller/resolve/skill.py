"""What a skill adds to a sandbox: its files, its packages and the Python that it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from controller.model.errors import StateError
from controller.model.manifest import FieldFault, FieldPath
from controller.model.python_versions import is_readable, satisfies
from controller.model.skill import SKILL_TARGET, SKILL_VARIABLE, SkillFacts
from controller.model.spec import Isolation, Mount, SandboxSpec, Skill

STRICT: Final = "strict"
LENIENT: Final = "lenient"

_PATH: Final[FieldPath] = ("spec", "skill", "path")
_PROJECT: Final = re.compile(r"[A-Za-z0-9._-]+")
_SEPARATORS: Final = re.compile(r"[-_.]+")
_PYTHON_IMAGE: Final = re.compile(r"(?:docker\.io/)?(?:library/)?python:(\d+\.\d+(?:\.\d+)?)(?:[-@]|$)")
_MOST_FILES: Final = 100
"""Files that a template names; of a larger skill only its digest is known."""


def with_skill(spec: SandboxSpec, written: Mapping[str, Any], facts: SkillFacts | None, folder: str) -> SandboxSpec:
    """The spec with what its skill adds; `folder` is where the files of skills are kept by their digests.

    Raises StateError on a spec that names a skill of which nothing is known.
    """
    if written.get("skill") is None:
        return spec
    if facts is None:
        raise StateError(f"nothing is known of the skill {written['skill']['path']}: save the manifest again")
    mount = Mount(f"{folder}/{facts.digest}", SKILL_TARGET, read_only=True)
    skill = Skill(facts.path, facts.digest, mount, facts.python_version)
    return replace(spec, skill=skill, packages=_joined(spec.packages, facts.packages))


def written_whole(skill: Mapping[str, Any]) -> dict[str, Any]:
    """The field `spec.skill` with its defaults."""
    return {"validation": LENIENT, **skill}


def template_of(facts: SkillFacts) -> dict[str, Any]:
    """What only a replace can change of a skill: its content, by file where they are few."""
    files = {path: digest[:8] for path, digest in facts.files.items()}
    return {"digest": facts.digest, **({"files": files} if 0 < len(files) <= _MOST_FILES else {})}


def skill_faults(spec: SandboxSpec, written: Mapping[str, Any]) -> Iterator[FieldFault]:
    """What cannot be had together with the skill, and a Python that it cannot have."""
    if spec.skill is None:
        return
    for index, entry in enumerate(spec.env):
        if entry.name == SKILL_VARIABLE:
            yield FieldFault(("spec", "env", index, "name"), f"{SKILL_VARIABLE} tells where the skill is", "remove it")
    if _is_in_skill(spec.working_dir):
        yield FieldFault(("spec", "workingDir"), f"{spec.working_dir} is the skill's", "work in /workspace")
    for path, target in _targets(spec):
        if _is_in_skill(target):
            yield FieldFault(path, f"{target}: the skill is there", "name a folder of its own, such as /data")
    lenient = written["skill"].get("validation", LENIENT) != STRICT
    yield from (replace(fault, warning=lenient) for fault in _python(spec, spec.skill.python_version))


def _python(spec: SandboxSpec, wanted: str) -> Iterator[FieldFault]:
    if not is_readable(wanted):
        yield FieldFault(_PATH, f"the skill's Python {wanted!r} is no version", "write 3.11, or >=3.10,<3.13")
        return
    named = _PYTHON_IMAGE.match(spec.image)
    if spec.isolation is Isolation.CONTAINER and named is not None and not satisfies(named[1], wanted):
        message = f"the skill needs Python {wanted}, and {spec.image} has {named[1]}"
        yield FieldFault(_PATH, message, "name an image that has it in spec.image")


def _targets(spec: SandboxSpec) -> Iterator[tuple[FieldPath, str]]:
    for target in spec.filesystem.tmpfs:
        yield ("spec", "filesystem", "tmpfs", target), target
    for index, mount in enumerate(spec.filesystem.mounts):
        yield ("spec", "filesystem", "mounts", index, "target"), mount.target


def _is_in_skill(path: str) -> bool:
    return path == SKILL_TARGET or path.startswith(f"{SKILL_TARGET}/")


def _joined(own: Sequence[str], skills: Sequence[str]) -> tuple[str, ...]:
    """The manifest's packages, then those of the skill that it does not name."""
    named = {_project(package) for package in own}
    return (*own, *(package for package in skills if _project(package) not in named))


def _project(requirement: str) -> str:
    """The name that a requirement (PEP 508) begins with, as PEP 503 writes it."""
    found = _PROJECT.match(requirement)
    return _SEPARATORS.sub("-", found[0] if found else requirement).lower()
