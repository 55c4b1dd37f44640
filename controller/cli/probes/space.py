"""Room in memory, and on the disk of a folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from controller.cli import human
from controller.cli.probes.finding import Finding, Setup, fail, ok, warn
from controller.model.quantity import parse_memory
from controller.resolve.defaults import EMBEDDED

_SCARCE: Final = 1 << 30
_FULL: Final = 64 << 20


def probe_memory(_setup: Setup) -> Iterator[Finding]:
    """What the machine has left, in sandboxes of the default limit."""
    memory = psutil.virtual_memory()
    wanted = str(EMBEDDED["resources"]["limits"]["memory"])
    fitting = memory.available // parse_memory(wanted)
    told = f"{human.size(memory.available)} of {human.size(memory.total)} available: {fitting} sandboxes of {wanted}"
    if fitting < 1:
        yield warn("memory", told, "say smaller resources.limits.memory, or suspend something")
    else:
        yield ok("memory", told)


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
