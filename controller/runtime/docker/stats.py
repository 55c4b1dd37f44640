"""Usage from the engine's stats, for containers whose cgroups this process cannot see.

Beside the tick: one call takes from milliseconds to a second, depending on the engine.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final

import structlog

from controller.model.clock import Clock
from controller.model.errors import RuntimeFailure
from controller.runtime.cgroup.reader import CgroupSample
from controller.runtime.docker.client import EngineClient, quoted

log = structlog.get_logger(__name__)

_INTERVAL: Final = 5.0
_NANOSECONDS: Final = 1e9


class StatsPoller:
    """Asks for each of the wanted containers in turn. For any thread; its own starts with the first wish."""

    def __init__(self, client: EngineClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._wanted: frozenset[str] = frozenset()
        self._samples: dict[str, tuple[float, CgroupSample]] = {}
        self._thread: threading.Thread | None = None

    def want(self, ids: Iterable[str]) -> None:
        """These and no others from now on."""
        with self._lock:
            self._wanted = frozenset(ids)
            for gone in self._samples.keys() - self._wanted:
                del self._samples[gone]
            if self._wanted and self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="engine-stats", daemon=True)
                self._thread.start()

    def sample(self, id: str) -> tuple[float, CgroupSample] | None:
        """The last answer and when it came (epoch seconds); None before the first."""
        return self._samples.get(id)

    def close(self) -> None:
        """End the thread, after the call that is under way."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            for id in sorted(self._wanted):
                if not self._stop.is_set():
                    self._ask_safely(id)
            self._clock.wait(self._stop, _INTERVAL)

    def _ask_safely(self, id: str) -> None:
        try:
            self._ask(id)
        except Exception:
            log.exception("engine_stats_panicked", id=id)

    def _ask(self, id: str) -> None:
        try:
            answer = self._client.get(f"/containers/{quoted(id)}/stats", {"stream": "false", "one-shot": "true"})
        except RuntimeFailure as exc:
            log.debug("stats_not_had", id=id, error=str(exc))
            return
        with self._lock:
            if id in self._wanted:
                self._samples[id] = (self._clock.now(), sample_of(answer))


def sample_of(answer: Mapping[str, Any]) -> CgroupSample:
    """One answer of the engine (ContainerStats) as a sample; it does not tell of OOM kills."""
    memory = answer.get("memory_stats") or {}
    details = memory.get("stats") or {}
    usage = memory.get("usage")
    inactive = details.get("total_inactive_file", details.get("inactive_file", 0))
    total = ((answer.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage")
    return CgroupSample(
        cpu_seconds=None if total is None else total / _NANOSECONDS,
        working_set=None if usage is None else max(0, usage - inactive),
        pids=(answer.get("pids_stats") or {}).get("current"),
        oom_kills=None,
    )
