"""What this machine offers, and what to do about what it lacks."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from controller.cli.options import json_option, state_dir_option
from controller.cli.output import show_json
from controller.cli.probes.engine import probe_engine
from controller.cli.probes.finding import Finding, Level, Probe, Setup
from controller.cli.probes.kernel import probe_cgroups, probe_inotify, probe_open_files
from controller.cli.probes.space import probe_memory
from controller.cli.probes.state import probe_daemon, probe_state_dir
from controller.cli.probes.tools import probe_bubblewrap, probe_python, probe_uv
from controller.cli.table import Table, show

PROBES: Final[tuple[Probe, ...]] = (
    probe_python,
    probe_engine,
    probe_memory,
    probe_cgroups,
    probe_bubblewrap,
    probe_uv,
    probe_inotify,
    probe_open_files,
    probe_state_dir,
    probe_daemon,
)


@click.command()
@state_dir_option
@click.option("--engine", metavar="ADDRESS", envvar="SANDKEEPER_ENGINE", help="As in DOCKER_HOST.")
@json_option
def doctor_command(state_dir: Path, engine: str | None, output: str) -> int:
    """Check what this machine offers and say what to do.

    Exit 1 where something is broken; what is merely not there is a warning.
    """
    findings = [finding for probe in PROBES for finding in probe(Setup(state_dir, engine))]
    failed = any(finding.level is Level.FAIL for finding in findings)
    if output == "json":
        show_json({"ok": not failed, "checks": [asdict(finding) for finding in findings]})
    else:
        show(Table(["", "CHECK", "FINDING"], [row for finding in findings for row in _rows(finding)]))
    return 1 if failed else 0


def _rows(finding: Finding) -> list[list[str]]:
    rows = [[finding.level, finding.check, finding.message]]
    return [*rows, ["", "", f"→ {finding.advice}"]] if finding.advice else rows
