"""The daemon's settings: an option over a SANDKEEPER_ variable over the configuration file over the default."""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import click

from controller.cli.options import FOLDER, Command, state_dir_option
from controller.config import DaemonConfig
from controller.model.cleanup import NO_CLEANUP, CleanupPolicy
from controller.model.errors import QuantityError, UsageError
from controller.model.quantity import parse_duration, parse_memory

# What a configuration file may hold; each is an option of the same name, `defaults` apart.
_PATHS: Final = frozenset({"manifests", "state-dir", "allow-path", "secrets-dir"})
_KEYS: Final = _PATHS | {
    "tick",
    "listen",
    "workers",
    "instance",
    "trash-ttl",
    "engine",
    "log-level",
    "log-format",
    "defaults",
    "cleanup",
}
_DEFAULTS: Final = "sandkeeper.defaults"
_CLEANUP: Final = "sandkeeper.cleanup"

_FIELDS: Final = frozenset(field.name for field in fields(DaemonConfig))

# Every option is also a variable: --trash-ttl is SANDKEEPER_TRASH_TTL.
FROM_ENVIRONMENT: Final = {"auto_envvar_prefix": "SANDKEEPER"}


def pass_config(command: Command) -> Command:
    """Add the options that make a DaemonConfig and call the command with `config`; see also FROM_ENVIRONMENT."""

    instance = click.option("--instance", metavar="ID", help="Whose the sandboxes are.  [default: made up and kept]")
    engine = click.option("--engine", metavar="ADDRESS", help="As in DOCKER_HOST.  [default: found as Docker does]")
    secrets = click.option("--secrets-dir", type=FOLDER, help="The folder of the secrets that manifests refer to.")
    return pass_rules(state_dir_option(instance(engine(secrets(command)))))


def pass_rules(command: Command) -> Command:
    """Add the options that manifests are judged by and call the command with a `config` of those given."""

    @click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_take_file,
        metavar="FILE",
        help="A TOML file: the daemon's options by name, and tables [defaults] (of a manifest's spec) and [cleanup].",
    )
    @click.option("--allow-path", type=FOLDER, multiple=True, help="Mounts may point below it; repeatable.")
    @functools.wraps(command)
    def with_rules(**given: Any) -> Any:
        given["allow_paths"] = given.pop("allow_path")
        values = {name: value for name, value in given.items() if name in _FIELDS and value is not None}
        others = {name: value for name, value in given.items() if name not in _FIELDS}
        meta = click.get_current_context().meta
        defaults, cleanup = meta.get(_DEFAULTS, {}), meta.get(_CLEANUP, NO_CLEANUP)
        return command(DaemonConfig(**values, defaults=defaults, cleanup=cleanup), **others)

    return with_rules


def _take_file(ctx: click.Context, _param: click.Parameter, file: Path | None) -> None:
    if file is None:
        return
    values = _read(file)
    ctx.meta[_DEFAULTS] = values.pop("defaults", {})
    check_defaults(ctx.meta[_DEFAULTS], file)
    ctx.meta[_CLEANUP] = cleanup_of(values.pop("cleanup", {}), file)
    ctx.default_map = {key.replace("-", "_"): _relative_to(file.parent, key, value) for key, value in values.items()}


def _read(file: Path) -> dict[str, Any]:
    """The file's keys. Raises UsageError, which names the key that is not known."""
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise UsageError(f"{file} cannot be read as configuration: {exc}") from exc
    for key in values:
        if key not in _KEYS:
            close = difflib.get_close_matches(key.replace("_", "-"), _KEYS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(_KEYS))}"
            raise UsageError(f"{file}: unknown key {key!r}; {hint}")
    for table in ("defaults", "cleanup"):
        if not isinstance(values.get(table, {}), Mapping):
            raise UsageError(f"{file}: {table} is a table: [{table}]")
    return values


def cleanup_of(table: Mapping[str, Any], file: Path) -> CleanupPolicy:
    """The policy of a file's table [cleanup]. Raises UsageError."""
    known = {each.name.replace("_", "-") for each in fields(CleanupPolicy)}
    policy: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise UsageError(f"{file}: unknown key cleanup.{key}; known are {', '.join(sorted(known))}")
        parse = parse_memory if key == "images-max-size" else parse_duration
        try:
            policy[key.replace("-", "_")] = parse(value)
        except (QuantityError, TypeError) as exc:
            raise UsageError(f"{file}: cleanup.{key}: {exc}") from exc
    return CleanupPolicy(**policy)


def _relative_to(folder: Path, key: str, value: Any) -> Any:
    """A path in a file is meant from where the file is."""
    if key not in _PATHS:
        return value
    if key == "allow-path":
        return [str(folder / path) for path in ([value] if isinstance(value, str) else value)]
    return str(folder / value)


def check_defaults(defaults: Mapping[str, Any], file: Path) -> None:
    """Refuse defaults that no manifest could say: by the schema, then by the rules beyond it. Raises UsageError."""
    if not defaults:
        return
    from controller.model.identity import API_VERSION, SANDBOX  # noqa: PLC0415 - as above
    from controller.resolve.admission import admit  # noqa: PLC0415 - only where there are defaults to check
    from controller.resolve.defaults import ResolveSettings  # noqa: PLC0415 - as above
    from controller.source.kinds import Kind, load_schema  # noqa: PLC0415 - as above

    if "skill" in defaults:
        raise UsageError(f"{file}: defaults.skill: a skill is one sandbox's own (name it in that one's manifest)")
    body = {"apiVersion": API_VERSION, "kind": SANDBOX, "metadata": {"name": "defaults"}, "spec": dict(defaults)}
    found = [held.fault for held in Kind(API_VERSION, SANDBOX, load_schema(SANDBOX)).check(body)]
    for fault in found or admit(body, ResolveSettings()):
        where = ".".join(("defaults", *map(str, fault.path[1:])))
        raise UsageError(f"{file}: {where}: {fault.message}" + (f" ({fault.hint})" if fault.hint else ""))
