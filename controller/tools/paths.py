"""How a tool's paths are read. Pure."""

from __future__ import annotations

from typing import Any, Final

from controller.model.errors import ToolError
from controller.model.printable import printable

WORKSPACE: Final = "/workspace"
_MOST_SHOWN: Final = 200


def names_of(given: Any, root: str) -> tuple[str, ...]:
    """The names that lead from the workspace to a path; none for the workspace itself.

    Relative paths are the workspace's, and so are absolute ones below `/workspace` or `root`, its place on the host:
    code inside sees it at the one or the other. Raises ToolError on any other, and on `..`.
    """
    if not isinstance(given, str):
        raise ToolError(f"a path is text, not {type(given).__name__}: give one relative to the workspace")
    try:
        encoded = given.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        encoded = b"\0"
    if b"\0" in encoded:
        raise ToolError(f"{shown(given)} cannot be a path: leave out its NUL and surrogate characters")
    names = [name for name in _relative(given, root).split("/") if name not in ("", ".")]
    if ".." in names:
        raise ToolError(f"{shown(given)} has a `..`: name the file by its path from the workspace down")
    return tuple(names)


def _relative(given: str, root: str) -> str:
    below = below_workspace(given, root)
    if below is None:
        raise ToolError(f"{shown(given)} lies outside the workspace: give a path relative to it, or below {WORKSPACE}")
    return below


def below_workspace(path: str, root: str) -> str | None:
    """A path as seen from the workspace; None where it is absolute and not below it. `..` is left as it is."""
    if not path.startswith("/"):
        return path
    for top in (root.rstrip("/"), WORKSPACE):
        if path == top or path.startswith(f"{top}/"):
            return path[len(top) :]
    return None


def shown(path: str) -> str:
    """A path as an error or a result tells of it: on one line, and not longer than is read."""
    text = printable(path)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
