"""The last look at what a manifest mounts, right before the engine is asked to bind it: it resolves at every start."""

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
    rules = _rules(prefixes, socket, forbidden)
    return tuple(bind(_checked(mount.source, rules), mount.target, read_only=mount.read_only) for mount in mounts)


def check_again(sources: Iterable[str], prefixes: Sequence[str], socket: str, forbidden: Sequence[str] = ()) -> None:
    """Look again at what was bound once: another sandbox that may write there can have led it elsewhere since.

    Raises as `checked_binds`, and RuntimeFailure where a source now leads anywhere else.
    """
    rules = _rules(prefixes, socket, forbidden)
    for source in sources:
        if (real := os.path.realpath(source)) != source:
            raise RuntimeFailure(
                f"{source} leads to {real} by now, and not what was mounted when this sandbox was made: put it back"
            )
        _checked(source, rules)


@dataclass(frozen=True, slots=True)
class _Rules:
    """Real paths all."""

    allowed: tuple[str, ...]
    forbidden: tuple[str, ...]
    socket: str


def _rules(prefixes: Sequence[str], socket: str, forbidden: Sequence[str]) -> _Rules:
    return _Rules(
        allowed=tuple(os.path.realpath(prefix) for prefix in prefixes),
        forbidden=tuple(os.path.realpath(folder) for folder in forbidden),
        socket=os.path.realpath(socket),
    )


def _checked(given: str, rules: _Rules) -> str:
    """Where it really leads."""
    source = os.path.realpath(given)
    if _is_below(rules.socket, source):
        raise CannotRunError(f"{given} holds the engine's socket, which is never bound: mount a narrower folder")
    if any(_is_below(source, folder) or _is_below(folder, source) for folder in rules.forbidden):
        raise CannotRunError(f"{given} leads to the daemon's own files, which are never bound: use another folder")
    if not any(_is_below(source, prefix) for prefix in rules.allowed):
        known = ", ".join(rules.allowed) or "none are set"
        raise CannotRunError(f"{given} leads to {source}, outside of the allowed prefixes ({known}); see --allow-path")
    if not Path(source).exists():
        raise RuntimeFailure(f"{given} does not exist: make it, or correct spec.filesystem.mounts")
    return source


def _is_below(path: str, folder: str) -> bool:
    return os.path.commonpath((path, folder)) == folder
