"""What the Docker runtime is told when it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from controller.model.cleanup import NO_CLEANUP, CleanupPolicy
from controller.model.identity import Key, Slot, instance_name

NamingRule = Callable[[str, Key, Slot], str]
"""The deterministic name of an instance's key in a slot."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `read` bounds the silence of an ordinary call, `slow` that of create and start.

    `pull_silence` is how long a pull may go without a line of progress: extracting one large layer prints none.
    """

    connect: float = 2.0
    read: float = 15.0
    slow: float = 60.0
    ping: float = 3.0
    pull_silence: float = 300.0


@dataclass(frozen=True, slots=True)
class DockerConfig:
    """`engine` is an address as DOCKER_HOST writes it, or a socket's path; None: found as Docker's own client finds it.

    `bind_prefixes` are the folders below which mounts may lie; nothing in or above a `forbidden` one is ever mounted.
    `epoch_file` remembers engine restarts over restarts of the daemon; None: only in memory. `pool_size` is how many
    calls may be under way at once without reconnecting. `skills_folder` is where the files of skills are kept: they are
    mounted though it lies in a forbidden one. `cache_dir` is where packages are kept; None: no sandbox can have any.
    `cleanup` is what of it is deleted by itself. An installation may take `install_timeout` seconds.
    `name_of` names the containers.
    """

    instance: str
    engine: str | None = None
    bind_prefixes: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    epoch_file: Path | None = None
    pool_size: int = 16
    skills_folder: str = ""
    ping_interval: float = 15.0
    timeouts: Timeouts = field(default_factory=Timeouts)
    cache_dir: Path | None = None
    cleanup: CleanupPolicy = NO_CLEANUP
    install_timeout: float = 600.0
    name_of: NamingRule = instance_name
