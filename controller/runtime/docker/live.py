"""What the machine's kernel says of a container's first process, as proc(5) describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LiveProcess:
    """`status` by field name, `mounts` as mount point to options, `interfaces` of its network namespace, and the hard
    limit of `open_files` (None: unlimited).
    """

    status: Mapping[str, str]
    mounts: Mapping[str, frozenset[str]]
    interfaces: frozenset[str]
    open_files: int | None


def live_process(pid: int, proc: str = "/proc") -> LiveProcess | None:
    """The process, or None where its files cannot be read."""
    folder = Path(proc, str(pid))
    try:
        return LiveProcess(
            status=_status((folder / "status").read_text()),
            mounts=_mounts((folder / "mountinfo").read_text()),
            interfaces=_interfaces((folder / "net/dev").read_text()),
            open_files=_open_files((folder / "limits").read_text()),
        )
    except OSError:
        return None


def _status(text: str) -> Mapping[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _mounts(text: str) -> Mapping[str, frozenset[str]]:
    """The last mount on a point is the one in force; its own options and those of its file system together."""
    found = {}
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        parts = fields.split(" ")
        found[parts[4]] = frozenset(parts[5].split(",")) | frozenset(rest.split(" ")[-1].split(",")) - {"ro", "rw"}
    return found


def _interfaces(text: str) -> frozenset[str]:
    return frozenset(line.partition(":")[0].strip() for line in text.splitlines()[2:])


def _open_files(text: str) -> int | None:
    for line in text.splitlines():
        if line.startswith("Max open files"):
            hard = line.split()[4]
            return int(hard) if hard.isdecimal() else None
    return None
