"""What a benchmark is, and what it is given."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from benchmarks.figure import Figure
from tests.support import host, images
from tests.support.engine import Engine, PrivateEngine

_SHM: Final = "/dev/shm"
_BYTES_EACH: Final = 6000  # of a small file on tmpfs: a page, an inode, a name


@dataclass(frozen=True, slots=True)
class Benchmark:
    """`run` yields the figures named in `rows`. `root`: it makes cgroups, or sandboxes with users of their own."""

    name: str
    rows: tuple[str, ...]
    run: Callable[[Bench], Iterator[Figure]]
    engine: bool = False
    root: bool = False


@dataclass(slots=True)
class Bench:
    """What benchmarks share in one run: an engine brought up for the first that wants one, and temporary folders."""

    _stack: ExitStack = field(default_factory=ExitStack)
    _engine: Engine | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def engine(self) -> Engine:
        """The engine that DOCKER_HOST gives, else a private one; it has busybox."""
        if self._engine is None:
            given = os.environ.get("DOCKER_HOST")
            self._engine = Engine(given) if given else self._stack.enter_context(PrivateEngine(manage_iptables=False))
            self._engine.load_images(images.BUSYBOX)
        return self._engine

    @contextmanager
    def folder(self, files: int = 0) -> Iterator[Path]:
        """A temporary folder; one for very many files is in memory where there is room: making them is not measured."""
        with tempfile.TemporaryDirectory(prefix="skb-", dir=_SHM if files and _has_room(files) else None) as path:
            yield Path(path)

    def say(self, text: str) -> None:
        """Tell whoever waits."""
        print(f"bench: {text}", file=sys.stderr, flush=True)


def _has_room(files: int) -> bool:
    try:
        found = os.statvfs(_SHM)
    except OSError:
        return False
    return found.f_favail > files and found.f_bavail * found.f_frsize > files * _BYTES_EACH


def lack(benchmark: Benchmark) -> str:
    """What this machine lacks for a benchmark, or the empty string."""
    is_root = os.geteuid() == 0
    if benchmark.root and not is_root:
        return "needs root"
    if not benchmark.engine or os.environ.get("DOCKER_HOST"):
        return ""
    if not is_root:
        return "a private Docker Engine needs root (or set DOCKER_HOST)"
    return "" if host.find("dockerd") else "dockerd is not installed (as root: scripts/setup-tests.sh)"
