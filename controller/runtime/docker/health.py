"""Whether the engine can be reached and what it offers, looked at beside the calls and kept for those who plan."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import structlog

from controller.model.clock import Clock
from controller.model.errors import EngineTimeoutError, EngineUnavailableError, RuntimeFailure
from controller.model.observed import Capabilities
from controller.runtime.docker.client import EngineClient
from controller.runtime.docker.container import RUNTIME
from controller.runtime.docker.epochs import EngineEpochs
from controller.runtime.docker.profile import GVISOR_CLASS, LEAST_MEMORY, gvisor_runtime

log = structlog.get_logger(__name__)

_DOWN_INTERVAL: Final = 1.0
_NEVER_ASKED: Final = Capabilities(RUNTIME, available=False, reason="EngineDown", message="not asked yet")


class EngineHealth:
    """The engine's present state. `on_down` is called with each look that finds it away, `on_change` when it went away,
    came back, or is away for another reason.
    """

    def __init__(self, client: EngineClient, epochs: EngineEpochs, clock: Clock, interval: float) -> None:
        self._client = client
        self._epochs = epochs
        self._clock = clock
        self._interval = interval
        self._look = threading.Lock()
        self._kick = threading.Event()
        self._watched = False
        self._checked_at = float("-inf")
        self._info: dict[str, Any] | None = None
        self._capabilities = _NEVER_ASKED
        self._told: tuple[bool, str] | None = None
        self._suspected = False
        self.on_down: Callable[[], None] = lambda: None
        self.on_change: Callable[[], None] = lambda: None

    def capabilities(self) -> Capabilities:
        """What was found last; looks itself where that is stale and nobody else looks."""
        age = self._clock.monotonic() - self._checked_at
        stale = age > (self._interval if self._capabilities.available else _DOWN_INTERVAL)
        if self._checked_at == float("-inf") or (stale and not self._watched):
            self.check()
        return self._capabilities

    def runtimes(self) -> dict[str, Any]:
        """The OCI runtimes that the engine knows, by name. Raises RuntimeFailure."""
        return dict(self._known_info().get("Runtimes") or {})

    def default_runtime(self) -> str:
        """The OCI runtime of containers that name none. Raises RuntimeFailure."""
        return str(self._known_info().get("DefaultRuntime") or "runc")

    def max_cpu(self) -> int:
        """The machine's cpu in thousandths of a core. Raises RuntimeFailure."""
        return int(self._known_info().get("NCPU") or 0) * 1000

    def check(self) -> bool:
        """Look now. True where the engine answered."""
        with self._look:
            suspected, self._suspected = self._suspected, False
            try:
                self._client.ping()
                if self._epochs.confirm():
                    self._client.reset()
                    self._info = None
                found = self._offers(self._known_info())
            except RuntimeFailure as exc:
                found = _unavailable(exc)
            # Who planned since the suspicion found it away, and waits to be told that it is not.
            changed = self._told != (found.available, found.reason) or (suspected and found.available)
            self._told = (found.available, found.reason)
            self._capabilities, self._checked_at = found, self._clock.monotonic()
        if not found.available:
            self.on_down()
        if changed:
            log.debug("engine_state", available=found.available, reason=found.reason, message=found.message)
            self.on_change()
        return found.available

    def suspect(self, failure: RuntimeFailure) -> None:
        """A call failed in a way that may mean the engine is away: look soon."""
        if not isinstance(failure, EngineUnavailableError | EngineTimeoutError):
            return
        if isinstance(failure, EngineUnavailableError):
            self._epochs.lost()
            self._suspected = True
            self._capabilities = _unavailable(failure)
        self._kick.set()

    def watch(self, stop: threading.Event) -> None:
        """Look at every interval, and every second while the engine is away, until stopped: the body of a thread."""
        self._watched = True
        while not stop.is_set():
            try:
                self.check()
            except Exception:
                log.exception("engine_health_panicked")
            self._clock.wait(self._kick, self._interval if self._capabilities.available else _DOWN_INTERVAL)
            self._kick.clear()

    def wake(self) -> None:
        """Let `watch` look now, or see that it is stopped."""
        self._kick.set()

    def _known_info(self) -> dict[str, Any]:
        info = self._info
        if info is None:
            info = self._info = self._client.get("/info")
        return info

    def _offers(self, info: dict[str, Any]) -> Capabilities:
        names = set(info.get("Runtimes") or {})
        if gvisor_runtime(names):
            names.add(GVISOR_CLASS)
        return Capabilities(
            runtime=RUNTIME,
            updatable=frozenset({"memory", "cpu", "pids"}),
            freeze=True,
            throttle=True,
            networks=True,
            max_cpu=int(info.get("NCPU") or 0) * 1000,
            min_memory=LEAST_MEMORY,
            runtime_classes=frozenset(names),
        )


def _unavailable(failure: RuntimeFailure) -> Capabilities:
    reason = failure.reason if isinstance(failure, EngineUnavailableError) else "EngineDown"
    return Capabilities(RUNTIME, available=False, reason=reason, message=str(failure))
