"""The last look at what a manifest mounts, right before the engine is asked to bind it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.model.errors import CannotRunError, RuntimeFailure
from controller.model.spec import Mount
from controller.runtime.docker.profile import bind


def checked_binds(
    mounts: Iterable[Mount], prefixes: Sequence[str], socket: str, forbidden: Sequence[str] = ()
) -> tuple[dict[str, Any], ...]:
    """The mounts with every symlink of their sources resolved, as the engine takes them.

    Raises CannotRunError where one lies outside of the prefixes, in or above a forbidden folder, or would hand over the
    engine's socket, RuntimeFailure where it is missing. What is swapped after this look is the business of whoever may
    write below the prefixes.
    """
    rules = _Rules(
        allowed=tuple(os.path.realpath(prefix) for prefix in prefixes),
        forbidden=tuple(os.path.realpath(folder) for folder in forbidden),
        socket=os.path.realpath(socket),
    )
    return tuple(_checked(mount, rules) for mount in mounts)


@dataclass(frozen=True, slots=True)
class _Rules:
    """Real paths all."""

    allowed: tuple[str, ...]
    forbidden: tuple[str, ...]
    socket: str


def _checked(mount: Mount, rules: _Rules) -> dict[str, Any]:
    source = os.path.realpath(mount.source)
    if _is_below(rules.socket, source):
        raise CannotRunError(f"{mount.source} holds the engine's socket, which is never bound: mount a narrower folder")
    if any(_is_below(source, folder) or _is_below(folder, source) for folder in rules.forbidden):
        raise CannotRunError(
            f"{mount.source} leads to the daemon's own files, which are never bound: use another folder"
        )
    if not any(_is_below(source, prefix) for prefix in rules.allowed):
        known = ", ".join(rules.allowed) or "none are set"
        raise CannotRunError(
            f"{mount.source} leads to {source}, outside of the allowed prefixes ({known}); see --allow-path"
        )
    if not Path(source).exists():
        raise RuntimeFailure(f"{mount.source} does not exist: make it, or correct spec.filesystem.mounts")
    return bind(source, mount.target, read_only=mount.read_only)


def _is_below(path: str, folder: str) -> bool:
    return os.path.commonpath((path, folder)) == folder
