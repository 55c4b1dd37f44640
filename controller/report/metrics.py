"""What the daemon counts of itself, and the page that Prometheus scrapes."""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from controller.model.errors import RuntimeFailure
from controller.model.identity import Key
from controller.model.operation import Verb
from controller.report.protocol import ControlPlane, DaemonInfo
from controller.report.sandbox_metrics import render_sandboxes
from controller.report.usage_history import UsageHistory

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_PASS_RESULTS: Final = ("success", "requeue", "pending", "retry", "terminal", "panic")
_STAGES: Final = ("seen", "planned", "created", "ready")
_MANIFEST_STATES: Final = ("good", "stale", "refused")
_DRIFT_FIELDS: Final = ("memory", "cpu", "pids", "state", "instance")
_ENGINE_REASONS: Final = ("EnginePermission", "EngineNotLocal")

_PASS_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TICK_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_CALL_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_CHANGE_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """A Recorder that Prometheus can read. Each family, and each label value known in advance, is there from the start.

    `runtimes` are the names that operations may carry. The sandboxes' own series come from views at each scrape.
    """

    def __init__(self, version: str, runtimes: Sequence[str], history: UsageHistory) -> None:
        self._history = history
        self._lock = threading.Lock()
        self._violations: dict[Key, dict[tuple[str, str], int]] = {}
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        about = Gauge(
            "sandkeeper_build_info", "The daemon's build; always 1.", ("version", "python"), registry=registry
        )
        about.labels(version, platform.python_version()).set(1)
        self._loop = _LoopFamilies(registry)
        self._operations = _OperationFamilies(registry, runtimes)
        self._states = _StateFamilies(registry, runtimes)

    def page(self, control: ControlPlane) -> bytes:
        """All series in the text format, CONTENT_TYPE. About 25 ms for 1,000 sandboxes."""
        self._states.set(control.info())
        views = control.sandboxes()
        with self._lock:
            present = {view.key for view in views}
            self._violations = {key: counts for key, counts in self._violations.items() if key in present}
            violations = {key: dict(counts) for key, counts in self._violations.items()}
        return generate_latest(_WithoutCreated(self._registry)) + render_sandboxes(views, violations).encode()

    def reconciled(self, result: str, seconds: float) -> None:
        """A pass ended."""
        self._loop.passes.labels(result).inc()
        self._loop.pass_seconds.observe(seconds)

    def operated(self, runtime: str, operation: str, result: str, seconds: float) -> None:
        """An operation ended."""
        self._operations.calls.labels(runtime, operation, result).inc()
        self._operations.seconds.labels(runtime, operation).observe(seconds)

    def ticked(self, seconds: float, overran: bool) -> None:
        """A tick ended."""
        self._loop.tick_seconds.observe(seconds)
        if overran:
            self._loop.overruns.inc()

    def drifted(self, field: str) -> None:
        """A live field was found changed from outside."""
        self._loop.drift.labels(field).inc()

    def changed(self, stage: str, seconds: float) -> None:
        """A change passed a stage, seconds after its file was saved (0 where the clock was set meanwhile)."""
        self._loop.change_seconds.labels(stage).observe(max(0.0, seconds))

    def violated(self, key: Key, resource: str, action: str) -> None:
        """A limit was violated and acted on."""
        with self._lock:
            counts = self._violations.setdefault(key, {})
            counts[resource, action] = counts.get((resource, action), 0) + 1

    def forget(self, key: Key) -> None:
        """A sandbox is gone: its counts and its usage history go."""
        with self._lock:
            self._violations.pop(key, None)
        self._history.forget(key)


class _LoopFamilies:
    """Passes, ticks and changes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.passes = Counter(
            "sandkeeper_reconcile", "Passes over a sandbox, by how they ended.", ("result",), registry=registry
        )
        self.pass_seconds = Histogram(
            "sandkeeper_reconcile_duration_seconds",
            "Duration of a pass over a sandbox.",
            buckets=_PASS_BUCKETS,
            registry=registry,
        )
        self.tick_seconds = Histogram(
            "sandkeeper_tick_duration_seconds",
            "Duration of a tick: measuring and enforcing all sandboxes.",
            buckets=_TICK_BUCKETS,
            registry=registry,
        )
        self.overruns = Counter(
            "sandkeeper_tick_overruns", "Ticks that took longer than their period.", registry=registry
        )
        self.drift = Counter(
            "sandkeeper_drift_detected", "Fields found changed from outside.", ("field",), registry=registry
        )
        self.change_seconds = Histogram(
            "sandkeeper_change_duration_seconds",
            "From a saved file to the stage that its change reached.",
            ("stage",),
            buckets=_CHANGE_BUCKETS,
            registry=registry,
        )
        _begin(self.passes, _PASS_RESULTS)
        _begin(self.drift, _DRIFT_FIELDS)
        _begin(self.change_seconds, _STAGES)


class _OperationFamilies:
    """Calls on runtimes and workspaces."""

    def __init__(self, registry: CollectorRegistry, runtimes: Sequence[str]) -> None:
        labels = ("runtime", "operation")
        self.calls = Counter(
            "sandkeeper_operations",
            "Operations, by success or reason of failure.",
            (*labels, "result"),
            registry=registry,
        )
        self.seconds = Histogram(
            "sandkeeper_operation_duration_seconds", "Operations.", labels, buckets=_CALL_BUCKETS, registry=registry
        )
        results = ("success", "error", *sorted({*_reasons(RuntimeFailure), *_ENGINE_REASONS}))
        for runtime, verb in product(runtimes, Verb):
            self.seconds.labels(runtime, str(verb))
            for result in results:
                self.calls.labels(runtime, str(verb), result)


class _StateFamilies:
    """What is so now, read from DaemonInfo at each scrape."""

    def __init__(self, registry: CollectorRegistry, runtimes: Sequence[str]) -> None:
        self._depth = Gauge("sandkeeper_workqueue_depth", "Keys that wait for a worker.", registry=registry)
        self._manifests = Gauge(
            "sandkeeper_manifests",
            "Documents in force (good) or kept as they last were good (stale); files with a fault (refused).",
            ("state",),
            registry=registry,
        )
        self._blocked = Gauge(
            "sandkeeper_prune_blocked", "1 where removals wait for prune --confirm.", registry=registry
        )
        self._pending = Gauge("sandkeeper_prune_pending_sandboxes", "Removals held back.", registry=registry)
        self._up = Gauge(
            "sandkeeper_runtime_up", "1 where the runtime can be reached.", ("runtime",), registry=registry
        )
        self._alive = Gauge("sandkeeper_loop_alive", "1 where workers and tick live.", registry=registry)
        self._synced = Gauge("sandkeeper_synced", "1 where the first scan is done.", registry=registry)
        _begin(self._manifests, _MANIFEST_STATES)
        _begin(self._up, runtimes)

    def set(self, info: DaemonInfo) -> None:
        """Take over what the daemon says of itself."""
        self._depth.set(info.queue_depth)
        self._manifests.labels("good").set(info.manifests_good)
        self._manifests.labels("stale").set(info.manifests_stale)
        self._manifests.labels("refused").set(info.manifests_refused)
        self._blocked.set(bool(info.prune_reason))
        self._pending.set(len(info.prune_keys))
        self._alive.set(info.alive)
        self._synced.set(info.synced)
        for runtime in info.runtimes:
            self._up.labels(runtime.runtime).set(runtime.available)


class _WithoutCreated(Collector):
    """The registry without the `_created` series, which prometheus_client can only switch off for the whole process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


def _begin(family: Counter | Gauge | Histogram, values: Iterable[str]) -> None:
    for value in values:
        family.labels(value)


def _reasons(failure: type[RuntimeFailure]) -> Iterator[str]:
    yield failure.reason
    for kind in failure.__subclasses__():
        yield from _reasons(kind)
