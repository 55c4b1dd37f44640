"""The state folder and the daemon on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from controller.cli.client import Daemon
from controller.cli.notices import notices
from controller.cli.probes.finding import Finding, Setup, fail, ok, warn
from controller.cli.probes.space import probe_space
from controller.model.errors import DaemonUnreachableError, SandkeeperError


def probe_state_dir(setup: Setup) -> Iterator[Finding]:
    """Whether it can be written, or made, and has room."""
    wanted = setup.state_dir.absolute()
    # os.path.exists, which answers False where a parent may not be searched.
    present = next(folder for folder in (wanted, *wanted.parents) if os.path.exists(folder))  # noqa: PTH110
    made = present == wanted
    if not present.is_dir():
        yield fail("state folder", f"{present} is no folder", "move it away, or give another with --state-dir")
        return
    if not os.access(present, os.W_OK | os.X_OK, effective_ids=True):
        yield fail("state folder", f"{present} cannot be written by this user", "run as its owner, or give --state-dir")
        return
    if made and (loose := _loose(setup.state_dir)):
        yield warn("state folder", f"{setup.state_dir} {loose}", f"chmod 700 {setup.state_dir}")
    else:
        yield ok("state folder", f"{setup.state_dir} is writable" if made else f"{setup.state_dir} can be made")
    if space := probe_space("state space", present):
        yield space


def probe_daemon(setup: Setup) -> Iterator[Finding]:
    """Whether it answers, and what it has to say."""
    try:
        info = Daemon(setup.state_dir, timeout=5.0).info()
    except DaemonUnreachableError as exc:
        what, _, advice = str(exc).partition("; ")
        yield warn("daemon", what, advice)
        return
    except SandkeeperError as exc:
        yield fail("daemon", str(exc), "see its log")
        return
    yield ok(
        "daemon", f"{info.get('version')} watches {info.get('manifests')}, {info.get('manifestsGood', 0)} manifests"
    )
    yield from (warn("daemon", notice, "") for notice in notices(info))


def _loose(folder: Path) -> str:
    """Why others could reach into it; it holds what sandboxes wrote."""
    return "can be written by others" if folder.stat().st_mode & 0o022 else ""
