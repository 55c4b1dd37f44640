"""How a daemon is set up: plain data, gathered by the command line and read by bootstrap."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from controller.model.cleanup import NO_CLEANUP, CleanupPolicy

LogFormat = Literal["auto", "console", "json"]


def default_state_dir() -> Path:
    """`/var/lib/sandkeeper` as root, else sandkeeper's folder in the user's XDG state folder.

    The latter: https://specifications.freedesktop.org/basedir-spec/latest/ ($XDG_STATE_HOME, else ~/.local/state;
    a relative value is ignored).
    """
    if os.geteuid() == 0:
        return Path("/var/lib/sandkeeper")
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".local/state") / "sandkeeper"


def socket_path(state_dir: Path) -> Path:
    """The daemon's unix socket; longer than a socket address may be where the state folder's path is long."""
    return state_dir / "run" / "sandkeeper.sock"


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    """The settings of one daemon. `tick` and `trash_ttl` are seconds; paths may be relative to the caller's folder.

    `listen` is host:port, port 0 for any free one, the empty string for none. `instance` None: derived from the machine
    and the state folder. `allow_paths` are the prefixes outside the manifests that mounts may point to. `engine` is an
    address as DOCKER_HOST writes it; None: found as Docker's own client finds it. `log_format` auto: console on a
    terminal, else json. `defaults` is laid over the embedded defaults of a manifest's spec, in the spec's own shape.
    `cleanup` is what is cleaned up by itself.
    """

    manifests: Path = Path("manifests")
    state_dir: Path = field(default_factory=default_state_dir)
    listen: str = "127.0.0.1:9464"
    tick: float = 2.0
    workers: int = 8
    instance: str | None = None
    allow_paths: tuple[Path, ...] = ()
    secrets_dir: Path | None = None
    trash_ttl: float = 86400.0
    engine: str | None = None
    log_level: str = "info"
    log_format: LogFormat = "auto"
    defaults: Mapping[str, Any] = field(default_factory=dict)
    cleanup: CleanupPolicy = NO_CLEANUP

    @property
    def skills_folder(self) -> Path:
        """Where the files of skills are kept, absolute."""
        return Path(os.path.abspath(self.state_dir)) / "skills"  # noqa: PTH100 - a symlinked folder keeps its own name

    def own_folders(self) -> tuple[Path, ...]:
        """The daemon's own, which no sandbox may mount: state and secrets."""
        return (self.state_dir, self.secrets_dir) if self.secrets_dir else (self.state_dir,)
