"""Running commands as a user that has no rights here, where the tests run as root."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import controller
from controller.runtime.directory.reach import closed_ancestors

ORDINARY: Final = 64124

# In a mount namespace of its own: shows the places named after $0 below folders that are closed to ordinary users.
_SHOW: Final = """
set -e
hold=$(mktemp -d); mount -t tmpfs tmpfs "$hold"
closed=$1; shift
n=0; for place; do [ "$place" = -- ] && break; n=$((n+1)); mkdir "$hold/$n"; mount --bind "$place" "$hold/$n"; done
for folder in $closed; do mount -t tmpfs -o mode=0755 tmpfs "$folder"; done
n=0
while [ "$1" != -- ]; do n=$((n+1)); mkdir -p "$1"; mount --bind "$hold/$n" "$1"; shift; done
shift
exec "$@"
"""


def as_ordinary_user() -> list[str]:
    """What to put before a command; the same process becomes the command."""
    code = Path(controller.__file__).parent.parent
    places = [os.path.realpath(place) for place in (sys.base_prefix, sys.prefix, code)]
    closed = closed_ancestors([f"{place}/x" for place in places], ORDINARY)
    hidden = [place for place in places if place.startswith(tuple(f"{folder}/" for folder in closed))]
    user = ["setpriv", "--reuid", str(ORDINARY), "--regid", str(ORDINARY), "--clear-groups", "--no-new-privs"]
    return ["unshare", "--mount", "sh", "-c", _SHOW, "show", " ".join(closed), *hidden, "--", *user]
