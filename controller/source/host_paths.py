"""Host paths that a manifest names: made absolute, symlinks resolved, and kept inside what the operator allows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.model.errors import SandkeeperError

ENGINE_SOCKETS: Final = (
    Path("/run/docker.sock"),
    Path("/run/containerd/containerd.sock"),
    Path("/run/podman/podman.sock"),
    Path("/run/crio/crio.sock"),
)
"""Where engines listen by default. Whoever can write to one of them owns the machine."""

_SOCKET_NAMES: Final = frozenset(socket.name for socket in ENGINE_SOCKETS)


class HostPathRefused(SandkeeperError):  # noqa: N818 - what happened to the path
    """A host path that a sandbox may not have; `hint` says what would be right."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class HostPathRules:
    """What may be mounted: anything inside the watched root or an allowed prefix, except an engine's socket and what
    lies in, or leads to, a `forbidden` folder: the daemon's own state and secrets. Writable is nothing of the root,
    hidden folders included: manifests reached by a symlink (a ConfigMap's `..data`) or kept by git lie in some.
    """

    root: Path
    allow_paths: tuple[Path, ...] = ()
    engine_sockets: tuple[Path, ...] = ENGINE_SOCKETS
    forbidden: tuple[Path, ...] = ()

    def resolve(self, source: str, folder: Path, read_only: bool) -> str:
        """The absolute real path of a source written in a manifest of that folder. Raises HostPathRefused."""
        real = Path(os.path.realpath(folder / source))
        root = Path(os.path.realpath(self.root))
        allowed = [root, *(Path(os.path.realpath(path)) for path in self.allow_paths)]
        if self._reaches_engine(real):
            raise HostPathRefused(f"{source} gives away the engine's socket", "an engine's socket is never mounted")
        if not any(real.is_relative_to(prefix) for prefix in allowed):
            raise HostPathRefused(
                f"{source} is {real}, outside the watched folder and every allowed prefix",
                "move it inside, or start the daemon with --allow-path",
            )
        if self._reaches_own_files(real):
            raise HostPathRefused(
                f"{source} is {real}, where the daemon's own files are", "they are never mounted: use another folder"
            )
        if not read_only and _overlap(real, root):
            raise HostPathRefused(
                f"{source} would let the sandbox write manifests",
                "set readOnly: true, or use a folder outside the watched one with --allow-path",
            )
        return str(real)

    def _reaches_engine(self, real: Path) -> bool:
        sockets = {Path(os.path.realpath(socket)) for socket in self.engine_sockets}
        inside = any(socket.is_relative_to(real) for socket in sockets if not _is_absent(socket))
        return inside or real in sockets or real.name in _SOCKET_NAMES

    def _reaches_own_files(self, real: Path) -> bool:
        return any(_overlap(real, Path(os.path.realpath(folder))) for folder in self.forbidden)


def _is_absent(path: Path) -> bool:
    """Whether nothing is there; what may not be looked at may be."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _overlap(one: Path, other: Path) -> bool:
    """Whether either lies in the other, or they are the same."""
    return one.is_relative_to(other) or other.is_relative_to(one)
