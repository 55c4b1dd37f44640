"""Console scripts as uv makes them name the Python that they were made by; here they are given another one. Pure."""

from __future__ import annotations

import re
import shlex
import sys
from typing import Final

# The first line of a script, or what takes its place where the path is long or has a space in it.
_OURS: Final = re.compile(
    rb"#!(?:" + re.escape(sys.executable.encode()) + rb"|/bin/sh\r?\n'''exec' [^\r\n]*\r?\n' ''')\r?\n",
)
_LONGEST: Final = 127  # of a first line, where the kernel cuts it

BESIDE: Final = b"""#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")"/python "$0" "$@"
' '''
"""
"""The first lines of a script that runs by the Python in its own folder, wherever that is moved."""


def run_by(python: str) -> bytes:
    """The first lines of a script that runs by the Python of that path."""
    plain = f"#!{python}\n".encode()
    if len(plain) <= _LONGEST and b" " not in plain:
        return plain
    return f"#!/bin/sh\n'''exec' {shlex.quote(python)} \"$0\" \"$@\"\n' '''\n".encode()


def with_python(script: bytes, first_lines: bytes) -> bytes:
    """The script with other first lines; as it is where it was not made to run by our Python."""
    found = _OURS.match(script)
    return script if found is None else first_lines + script[found.end() :]
