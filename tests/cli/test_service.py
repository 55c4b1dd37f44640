"""The units: what systemd says of them, and what their settings have to be for sandboxes to outlive the daemon."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT

UNITS = ROOT / "deploy" / "systemd"
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@needs_systemd
@pytest.mark.parametrize("unit", ["sandkeeper.service", "sandkeeper-git.service", "sandkeeper-git.timer"])
def test_systemd_finds_nothing_wrong(unit: str, tmp_path: Path) -> None:
    """With programs that exist here in place of those that are to be installed."""
    for file in UNITS.glob("sandkeeper*.*"):
        text = file.read_text().replace("/usr/local/bin/sandkeeper", "/bin/true")
        (tmp_path / file.name).write_text(text.replace("/usr/local/lib/sandkeeper/sandkeeper-git.sh", "/bin/true"))
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=yes", str(tmp_path / unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in ended.stderr.splitlines() if "sandkeeper" in line]
    assert (ended.returncode, ours) == (0, [])


@needs_systemd
@pytest.mark.parametrize(("unit", "most"), [("sandkeeper.service", 5.0), ("sandkeeper-git.service", 2.0)])
def test_the_exposure_stays_low(unit: str, most: float) -> None:
    """systemd's own measure, from 0 to 10; a plain service has 9.6."""
    ended = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={most * 10:.0f}", str(UNITS / unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout.splitlines()[-1]


def test_sandboxes_outlive_the_daemon() -> None:
    """Each of these, left out, would end them with it."""
    settings = configparser.ConfigParser(strict=False, interpolation=None)
    settings.optionxform = str  # type: ignore[assignment,method-assign]  # as the library's documentation does it
    settings.read(UNITS / "sandkeeper.service")
    service = dict(settings["Service"])
    wanted = {
        "Type": "notify",
        "KillMode": "process",
        "Delegate": "yes",
        "OOMPolicy": "continue",
        "StateDirectory": "sandkeeper",
        "RestartPreventExitStatus": "64",
    }
    assert wanted.items() <= service.items()
