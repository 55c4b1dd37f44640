"""Finding a sandbox by name, and what to say where there is none."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from controller.cli.client import Daemon
from controller.cli.item import Item, Target
from controller.model.errors import UnknownSandboxError


def find(daemon: Daemon, target: Target) -> Item:
    """The sandbox. Raises UnknownSandboxError with the closest known name."""
    try:
        return daemon.sandbox(target)
    except UnknownSandboxError as exc:
        raise unknown(target, daemon.sandboxes()) from exc


def unknown(target: Target, known: Sequence[Item]) -> UnknownSandboxError:
    """The error that says which one may have been meant."""
    elsewhere = [str(item.target) for item in known if item.target.name == target.name]
    close = difflib.get_close_matches(str(target), [str(item.target) for item in known], n=1)
    meant = [*elsewhere, *close][:1]
    hint = f"did you mean {meant[0]}?" if meant else "'sandkeeper get -A' lists all; a refused manifest has none"
    return UnknownSandboxError(f"there is no sandbox {target}; {hint}")
