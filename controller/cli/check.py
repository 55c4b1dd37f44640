"""Verbs that check and change nothing: validate, plan."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from controller.cli.client import Daemon
from controller.cli.faults import fault_document, fault_line
from controller.cli.options import FOLDER, json_option
from controller.cli.output import show_json
from controller.cli.settings import FROM_ENVIRONMENT, pass_config, pass_rules
from controller.config import DaemonConfig
from controller.model.errors import DaemonUnreachableError
from controller.model.manifest import FieldFault
from controller.model.printable import printable
from controller.model.skill import SkillFacts
from controller.source.protocol import Admit

_CHANGES: Final = 2
_UNKNOWN: Final = "unknown "  # as a plan's line begins where an engine could not be asked
_ALARMING: Final = ("unknown", "remove", "trash", "erase")
_COLOURS: Final = {"create": "green", "update": "yellow"} | dict.fromkeys(_ALARMING, "red")


@click.command(context_settings=FROM_ENVIRONMENT)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
@pass_rules
def validate_command(config: DaemonConfig, paths: Sequence[Path], output: str) -> int:
    """Check manifests; needs no daemon and no engine.

    PATH is a file or a folder. Prints every fault as file:line:column. Exit 0 where nothing would be refused, else 1;
    warnings do not count.
    """
    from controller.skill.store import passing_store  # noqa: PLC0415 - `plan` does without
    from controller.source.validate import validate_paths  # noqa: PLC0415 - as above

    with passing_store() as skills:
        faults = validate_paths(paths, _admission(config), config.allow_paths, skills.read)
    errors = [fault for fault in faults if not fault.warning]
    if output == "json":
        show_json({"valid": not errors, "faults": [fault_document(fault) for fault in faults]})
        return 1 if errors else 0
    for fault in faults:
        click.echo(fault_line(fault))
    if not faults:
        click.echo(f"no faults in {', '.join(map(str, paths))}")
    return 1 if errors else 0


@click.command(context_settings=FROM_ENVIRONMENT)
@click.argument("manifests", metavar="[PATH]", required=False, type=FOLDER, envvar="SANDKEEPER_MANIFESTS")
@json_option
@pass_config
def plan_command(config: DaemonConfig, output: str) -> int:
    """Show what would change and why; changes nothing.

    Without PATH the running daemon is asked. With PATH, or where none runs, the folder is compared with the live
    sandboxes of the state folder. Exit 0 where nothing would change, 2 for changes, 1 where the plan is incomplete: a
    manifest is at fault, removals are held back, or an engine is away.
    """
    named = click.get_current_context().get_parameter_source("manifests") is ParameterSource.COMMANDLINE
    operations, faults = _ask(config, named) or _plan(config, named)
    if output == "json":
        show_json({"operations": list(operations), "faults": list(faults)})
    else:
        for fault in faults:
            click.echo(f"error: {printable(fault)}", err=True)
        for operation in operations:
            click.echo(_operation_line(operation))
        if not operations:
            click.echo("nothing would change")
    if faults or any(operation.startswith(_UNKNOWN) for operation in operations):
        return 1
    return _CHANGES if operations else 0


def _admission(config: DaemonConfig) -> Admit:
    """The rules beyond the schema, whoever runs this: which users a daemon may give is for that daemon to say."""
    from controller.resolve.admission import admit  # noqa: PLC0415 - `plan` does without
    from controller.resolve.defaults import ResolveSettings  # noqa: PLC0415 - as above

    settings = ResolveSettings(defaults=config.defaults)

    def admitting(body: dict[str, Any], skill: SkillFacts | None) -> Sequence[FieldFault]:
        return admit(body, settings, skill)

    return admitting


def _ask(config: DaemonConfig, named: bool) -> tuple[Sequence[str], Sequence[str]] | None:
    """Operations and faults from the daemon; None where a folder was named or no daemon runs."""
    daemon = Daemon(config.state_dir)
    if not daemon.has_socket() or named:
        return None
    try:
        return daemon.plan()
    except DaemonUnreachableError:
        return None


def _plan(config: DaemonConfig, named: bool) -> tuple[Sequence[str], Sequence[str]]:
    from controller.preview import plan_once  # noqa: PLC0415 - asking a daemon needs no engine client
    from controller.report.logging import configure_logging  # noqa: PLC0415 - as above

    configure_logging(sys.stderr, "warning")
    preview = plan_once(config, draft=named)
    return preview.operations, preview.faults


def _operation_line(operation: str) -> str:
    verb, space, rest = printable(operation).partition(" ")
    return click.style(verb, fg=_COLOURS.get(verb)) + space + rest
