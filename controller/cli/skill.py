"""Verbs about skill files: inspect, validate."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from controller.cli.faults import fault_document, fault_line
from controller.cli.options import json_option
from controller.cli.output import show_json
from controller.model.errors import UsageError
from controller.model.printable import printable

if TYPE_CHECKING:
    from controller.skill import Inspection
    from controller.skill.manifest import ManifestLine

_REASONS_FROM: Final = 36
_LONGEST_TOLD: Final = 200


@click.group()
def skill_command() -> None:
    """Show what is understood of a skill, or check skills."""


@skill_command.command("inspect")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="How to print it."
)
def skill_inspect(path: Path, output: str) -> int:
    """Print what is understood of the skill at PATH, and a manifest for it.

    The manifest gives the skill what it needs and no more, with the reason behind each line. As YAML, all that is not
    manifest is a comment, so that it can be saved as it is. Exit 1 where the skill is refused.
    """
    from controller.skill import SkillError, Validation, check_skill, inspect_skill  # noqa: PLC0415 - help does without
    from controller.skill.manifest import least_privilege  # noqa: PLC0415 - as above

    try:
        found = inspect_skill(path)
    except SkillError as exc:
        for fault in exc.faults:
            click.echo(fault_line(fault), err=True)
        return 1
    is_strict = all(fault.warning for fault in check_skill(path, Validation.STRICT))
    lines = least_privilege(found, _as_named(found.path), is_strict)
    if output == "json":
        show_json(_document(found, lines))
    else:
        for comment in _comments(found):
            click.echo(f"# {printable(comment)}")
        for line in _yaml(lines):
            click.echo(line)
    return 0


@skill_command.command("validate")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--lenient", is_flag=True, help="Only warn of what the Agent Skills specification refuses.")
@json_option
def skill_validate(paths: Sequence[Path], lenient: bool, output: str) -> int:
    """Check skills; needs no daemon and no engine.

    PATH is a folder with SKILL.md, or a .md file. Prints every fault as file:line:column. Exit 0 where nothing would
    be refused, else 1; warnings do not count.
    """
    from controller.skill import Validation, check_skill  # noqa: PLC0415 - help does without

    validation = Validation.LENIENT if lenient else Validation.STRICT
    faults = [fault for path in paths for fault in check_skill(path, validation)]
    errors = [fault for fault in faults if not fault.warning]
    if output == "json":
        show_json({"valid": not errors, "faults": [fault_document(fault) for fault in faults]})
        return 1 if errors else 0
    for fault in faults:
        click.echo(fault_line(fault))
    if not faults:
        click.echo(f"no faults in {', '.join(map(str, paths))}")
    return 1 if errors else 0


def _as_named(path: Path) -> str:
    """How a manifest that is saved here names the skill."""
    here, whole = Path.cwd(), Path(os.path.abspath(path))  # noqa: PTH100 - a link keeps its own name
    named = f"./{whole.relative_to(here)}" if whole.is_relative_to(here) else str(whole)
    try:
        named.encode()
    except UnicodeEncodeError as exc:
        raise UsageError(f"{printable(named)} is not UTF-8, and no manifest can name it: rename it") from exc
    return named


def _comments(found: Inspection) -> Iterator[str]:
    """What was understood, line by line."""
    skill, definition = found.skill, found.skill.definition
    yield f"Skill: {definition.name}"
    yield f"Description: {_told(definition.description)}"
    yield f"Instructions: {len(definition.system_prompt)} characters"
    yield from _list(
        "Tools", [f"{tool.name} ({tool.tool_type}): {_told(tool.description)}" for tool in definition.tools]
    )
    yield f"Python: {skill.python_version} ({found.python_from})" if skill.python_version else "Python: any"
    yield from _list(
        "Packages, which the skill brings along",
        [f"{package.requirement} ({package.file}:{package.line})" for package in found.packages],
    )
    yield from _list(
        "Not Python packages, and not installed", [f"{name} ({place})" for name, place in found.not_python.items()]
    )
    yield from _list("Scripts", found.scripts)
    yield f"Digest: sha256:{skill.digest}"
    for warning in found.faults:
        yield f"warning: {warning}"


def _list(title: str, entries: Sequence[str]) -> Iterator[str]:
    yield title + (":" if entries else ": none")
    for entry in entries:
        yield f"  {entry}"


def _told(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_TOLD else f"{line[: _LONGEST_TOLD - 1]}…"


def _yaml(lines: Sequence[ManifestLine]) -> Iterator[str]:
    """The manifest as YAML, reasons behind the values."""
    above: tuple[str, ...] = ()
    for line in lines:
        for depth, part in enumerate(line.path[:-1]):
            if line.path[: depth + 1] != above[: depth + 1]:
                yield f"{'  ' * depth}{part}:"
        above = line.path[:-1]
        field = f"{'  ' * len(above)}{line.path[-1]}: {_scalar(line.value)}"
        yield f"{field.ljust(_REASONS_FROM)}  # {printable(line.reason)}" if line.reason else field


def _scalar(value: str | int) -> str:
    """A value as YAML that reads back as the same, whoever reads it."""
    import yaml  # noqa: PLC0415 - most output is not YAML

    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    plain = yaml.safe_dump(value, width=float("inf")).removesuffix("\n").removesuffix("\n...")
    return plain if plain.isascii() and plain.isprintable() else _quoted(value)


def _quoted(text: str) -> str:
    import yaml  # noqa: PLC0415 - most output is not YAML

    return yaml.safe_dump(text, default_style='"', width=float("inf")).removesuffix("\n")


def _document(found: Inspection, lines: Sequence[ManifestLine]) -> dict[str, Any]:
    from controller.skill.manifest import as_document  # noqa: PLC0415 - help does without

    skill, definition = found.skill, found.skill.definition
    understood = {
        "name": definition.name,
        "description": definition.description,
        "systemPrompt": definition.system_prompt,
        "tools": [
            {"name": tool.name, "type": tool.tool_type.value, "description": tool.description}
            for tool in definition.tools
        ],
        "environmentRequirements": definition.environment_requirements,
        "metadata": definition.metadata,
        "packages": [
            {"requirement": package.requirement, "file": package.file, "line": package.line}
            for package in found.packages
        ],
        "pythonVersion": skill.python_version,
        "notPython": list(skill.not_python),
        "scripts": list(found.scripts),
        "digest": f"sha256:{skill.digest}",
    }
    return {
        "skill": understood,
        "warnings": [fault_document(fault) for fault in found.faults],
        "manifest": as_document(lines),
        "reasons": {".".join(line.path): line.reason for line in lines if line.reason},
    }
