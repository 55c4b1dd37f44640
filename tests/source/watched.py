"""A folder source over real files under the real watcher, and waiting for what it says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from controller.model.clock import SystemClock
from controller.model.identity import Key
from controller.model.manifest import Document, Snapshot
from controller.source.config import SourceConfig
from controller.source.folder import FolderSource
from tests.source.helpers import admit_all

DEADLINE = 10.0


class Watched:
    """A source and every snapshot that it delivered."""

    def __init__(self, source: FolderSource, root: Path) -> None:
        self.source = source
        self.root = root
        self.delivered: list[tuple[float, Snapshot]] = []
        self._news = threading.Condition()

    def take(self, snapshot: Snapshot) -> None:
        """What the source calls."""
        with self._news:
            self.delivered.append((time.monotonic(), snapshot))
            self._news.notify_all()

    def until(self, holds: Callable[[Snapshot], bool], deadline: float = DEADLINE) -> Snapshot:
        """The first snapshot from now on, the present one included, of which that holds."""
        with self._news:
            assert self._news.wait_for(lambda: bool(self.delivered) and holds(self.delivered[-1][1]), deadline), (
                f"last delivered: {self.delivered[-1][1] if self.delivered else None}"
            )
            return self.delivered[-1][1]

    def until_names(self, *names: str, deadline: float = DEADLINE) -> Snapshot:
        """Wait until exactly these sandboxes are declared."""
        return self.until(lambda snapshot: {key.name for key in snapshot.documents} == set(names), deadline)

    def stays(self, holds: Callable[[Snapshot], bool], seconds: float) -> bool:
        """Whether it holds of every snapshot of the coming seconds."""
        with self._news:
            return not self._news.wait_for(lambda: not holds(self.delivered[-1][1]), seconds)

    @property
    def latest(self) -> Snapshot:
        """The snapshot delivered last."""
        return self.delivered[-1][1]

    def write(self, file: str, text: str) -> Path:
        """Write a file below the root in one go."""
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@contextmanager
def watching(
    root: Path, baseline: Mapping[Key, Document] | None = None, rescan_interval: float = 60.0, **more: object
) -> Iterator[Watched]:
    """A started source over the root that has delivered its first snapshot.

    The rescan is far off unless asked for, so that a test shows what events alone bring about.
    """
    config = SourceConfig(root, rescan_interval=rescan_interval)
    source = FolderSource(config, admit_all, baseline or {}, SystemClock(), **more)  # type: ignore[arg-type]  # tests'
    watched = Watched(source, root)
    source.start(watched.take)
    try:
        watched.until(lambda snapshot: snapshot.synced)
        yield watched
    finally:
        source.stop()
