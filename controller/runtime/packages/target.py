"""Which Python packages are for, as that Python itself tells. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from controller.model.errors import EnvironmentFailedError

# Runs in any CPython from 3.8 on, in isolated mode, of the machine or of an image: it imports nothing but the standard
# library, and prints one line.
PROBE: Final = """
import json, os, platform, sys, sysconfig
def glibc():
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):
        return ""
print(json.dumps({
    "implementation": sys.implementation.name,
    "version": "%d.%d.%d" % sys.version_info[:3],
    "threadless": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "bits": 64 if sys.maxsize > 2**32 else 32,
    "machine": platform.machine(),
    "glibc": glibc(),
    "executable": sys.executable,
    "purelib": sysconfig.get_path("purelib"),
    "scripts": sysconfig.get_path("scripts"),
    "data": sysconfig.get_path("data"),
}))
"""

_OLDEST: Final = (3, 8)
# What uv knows as --python-platform: the newest of these that is not newer than the C library.
_GLIBC_MINORS: Final = (40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 28, 17)
_MACHINES: Final = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class PythonTarget:
    """`version` as 3.11.7; `platform` as uv's --python-platform names it, "" for this machine's own."""

    version: str
    platform: str


@dataclass(frozen=True, slots=True)
class PythonFacts:
    """A Python: what to install for it, and its own places."""

    target: PythonTarget
    executable: str
    purelib: str
    scripts: str
    data: str


def facts_of(answer: str, whose: str, is_here: bool = False) -> PythonFacts:
    """What the probe printed. `whose` names the Python in errors; `is_here`: it is one of this machine.

    Raises EnvironmentFailedError.
    """
    try:
        told = json.loads(answer)
        return PythonFacts(
            target=PythonTarget(_version(told, whose), _platform(told, whose, is_here)),
            executable=str(told["executable"]),
            purelib=str(told["purelib"]),
            scripts=str(told["scripts"]),
            data=str(told["data"]),
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise EnvironmentFailedError(
            f"{whose} does not answer as a Python does: {answer.strip()[:200]!r}; use another one"
        ) from exc


def _version(told: dict[str, Any], whose: str) -> str:
    version = str(told["version"])
    if told["implementation"] != "cpython" or told["threadless"]:
        kind = "free-threaded " if told["threadless"] else ""
        raise EnvironmentFailedError(
            f"{whose} is {kind}{told['implementation']} {version}: packages can be had for CPython alone"
        )
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        raise EnvironmentFailedError(f"{whose} is Python {version}: packages need 3.8 or newer")
    return version


def _platform(told: dict[str, Any], whose: str, is_here: bool) -> str:
    machine = _MACHINES.get(str(told["machine"]).lower())
    if machine is None or told["bits"] != 64:
        if is_here:
            return ""
        kind = f"{told['machine']} with {told['bits']} bits"
        raise EnvironmentFailedError(f"{whose} is for {kind}: packages can be had for x86_64 and aarch64 alone")
    name, _, version = str(told["glibc"]).partition(" ")
    if not name:
        return f"{machine}-unknown-linux-musl"
    major, _, minor = version.partition(".")
    known = next((each for each in _GLIBC_MINORS if major == "2" and each <= int(minor.split(".")[0])), None)
    if known is None:
        raise EnvironmentFailedError(f"{whose} has the C library {told['glibc']}: packages need glibc 2.17 or newer")
    return f"{machine}-manylinux_2_{known}"
