"""What the machine's kernel says of a container's first process, as proc(5) describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
            status=_status(_lines(folder / "status")),
            mounts=_mounts(_lines(folder / "mountinfo")),
            interfaces=_interfaces(_lines(folder / "net/dev")),
            open_files=_open_files(_lines(folder / "limits")),
        )
    except OSError:
        return None


def _lines(file: Path) -> list[str]:
    """Names in it are whatever bytes the sandbox chose, and what else `splitlines` takes for a line's end."""
    return file.read_text(errors="replace").split("\n")[:-1]


def _status(lines: Sequence[str]) -> Mapping[str, str]:
    pairs = (line.partition(":") for line in lines)
    return {name: value.strip() for name, _, value in pairs}


def _mounts(lines: Sequence[str]) -> Mapping[str, frozenset[str]]:
    """The last mount on a point is the one in force; its own options and those of its file system together."""
    found = {}
    for line in lines:
        fields, _, rest = line.partition(" - ")
        parts = fields.split(" ")
        found[parts[4]] = frozenset(parts[5].split(",")) | frozenset(rest.split(" ")[-1].split(",")) - {"ro", "rw"}
    return found


def _interfaces(lines: Sequence[str]) -> frozenset[str]:
    return frozenset(line.partition(":")[0].strip() for line in lines[2:])


def _open_files(lines: Sequence[str]) -> int | None:
    for line in lines:
        if line.startswith("Max open files"):
            hard = line.split()[4]
            return int(hard) if hard.isdecimal() else None
    return None
