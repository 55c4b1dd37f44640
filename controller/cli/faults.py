"""Faults of files, as they are told."""

from __future__ import annotations

from typing import Any

import click

from controller.model.manifest import Fault
from controller.model.printable import printable


def fault_line(fault: Fault) -> str:
    """A fault on one line: file:line:column, error or warning, what is wrong and what would be right."""
    level = click.style("warning", fg="yellow") if fault.warning else click.style("error", fg="red")
    what = f"{fault.field}: {fault.message}" if fault.field else fault.message
    told = printable(f"{what} ({fault.hint})" if fault.hint else what)
    return f"{printable(fault.file)}:{fault.line}:{fault.column}: {level}: {told}"


def fault_document(fault: Fault) -> dict[str, Any]:
    """A fault as JSON."""
    return {
        "file": fault.file,
        "line": fault.line,
        "column": fault.column,
        "severity": "warning" if fault.warning else "error",
        "field": fault.field,
        "message": fault.message,
        "hint": fault.hint,
    }
