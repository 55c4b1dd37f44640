"""Room on the disk of a folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from controller.cli import human
from controller.cli.probes.finding import Finding, fail, ok, warn

_SCARCE: Final = 1 << 30
_FULL: Final = 64 << 20


def probe_space(check: str, folder: Path) -> Finding | None:
    """What is free where the folder is; None where that cannot be seen."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    told = f"{human.size(usage.free)} of {human.size(usage.total)} free on {folder}"
    if usage.free < _FULL:
        return fail(check, f"the disk is full: {told}", "make room there; nothing can be created until then")
    if usage.free < _SCARCE:
        return warn(check, told, "make room there before it is full")
    return ok(check, told)
