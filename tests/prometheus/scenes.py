"""A control plane with sandboxes in every state, and counters that move."""

from __future__ import annotations

import time
from dataclasses import replace

from controller.model.conditions import Condition, ConditionStatus, ConditionType
from controller.model.identity import Key, sandbox_key
from controller.model.observed import Capabilities
from controller.model.operation import Verb
from controller.model.status import Phase
from controller.report.metrics import Metrics
from controller.report.protocol import SandboxView
from controller.report.usage_history import UsageHistory
from tests.report.plane import FakePlane
from tests.report.values import usage, view

WEB = sandbox_key("default", "web")
NEAR = sandbox_key("default", "near-its-limits")
CRASHING = sandbox_key("team", "crashing")
DEGRADED = sandbox_key("team", "degraded")


class Scene:
    """`act` lets a while pass: usage grows, restarts and violations happen, the loop works."""

    def __init__(self) -> None:
        self.plane = FakePlane()
        self.metrics = Metrics("0.1.0", ("docker", "directory"), UsageHistory())
        self._acts = 0
        self.plane.set_info(
            alive=False,
            runtimes=(Capabilities("docker", available=False, reason="EngineDown"), Capabilities("directory")),
            prune_reason="4 of 6 sandboxes vanished",
            prune_keys=("default/a",),
            queue_depth=80,
            manifests_good=7,
            manifests_stale=1,
            manifests_refused=2,
        )
        self.act()

    def act(self) -> None:
        """A while passes."""
        self._acts += 1
        self.plane.change(
            self._view(WEB),
            self._view(NEAR, memory=63 << 20, disk=(1 << 30) - 1),
            self._view(CRASHING, Phase.CRASH_LOOP, ready="False", restarts=5 * self._acts),
            self._view(DEGRADED, degraded="True", enforced="False"),
        )
        for number in range(10):
            self._work(number)

    def remove(self, name: str) -> None:
        """A sandbox is deleted."""
        self.plane.change(*(shown for shown in self.plane.views if shown.key.name != name))

    def _work(self, number: int) -> None:
        metrics = self.metrics
        for result in ("success", "retry", "panic"):
            metrics.reconciled(result, 0.01 * number)
        metrics.ticked(0.02, overran=True)
        metrics.drifted("memory")
        for stage in ("seen", "planned", "created", "ready"):
            metrics.changed(stage, 0.1)
        for runtime in ("docker", "directory"):
            metrics.operated(runtime, str(Verb.CREATE), "success", 0.2)
            metrics.operated(runtime, str(Verb.START), "EngineTimeout", 30.0)
        metrics.violated(NEAR, "memory", "kill")

    def _view(
        self,
        key: Key,
        phase: Phase = Phase.RUNNING,
        *,
        ready: ConditionStatus = "True",
        degraded: ConditionStatus = "False",
        enforced: ConditionStatus = "True",
        restarts: int = 0,
        memory: int = 20 << 20,
        disk: int = 4096,
    ) -> SandboxView:
        shown = view(key, usage(time.time(), cpu=0.1 * self._acts, memory=memory, disk=disk))
        conditions = (
            Condition(ConditionType.ACCEPTED, "True", "Accepted"),
            Condition(ConditionType.READY, ready, "Because"),
            Condition(ConditionType.DEGRADED, degraded, "Because"),
            Condition(ConditionType.LIMITS_ENFORCED, enforced, "Because"),
        )
        status = replace(shown.status, phase=phase, conditions=conditions, restarts=restarts, image="busybox")
        return replace(shown, status=status, record=replace(shown.record, runtime="docker", applied=None))
