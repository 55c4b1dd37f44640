"""What two real daemons, one with an engine and one without, live through while a real Prometheus looks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from docker import DockerClient

from tests.e2e import directories
from tests.e2e.daemon import RunningDaemon
from tests.prometheus.conftest import NOBODY
from tests.prometheus.server import PrometheusServer, eventually

MIB: Final = 1 << 20
FILL: Final = "dd if=/dev/zero of=fill bs=1024 count={kib} 2>/dev/null; while :; do sleep 0.2; done"
DOOMED: Final = ("d1", "d2", "d3", "d4", "d5")


@dataclass(frozen=True)
class Story:
    """`daemon` has an engine, `away` has none; `prometheus` scrapes both, and an address where nobody listens."""

    daemon: RunningDaemon
    away: RunningDaemon
    prometheus: PrometheusServer

    def value(self, expression: str) -> float | None:
        """The one value of an expression, `I` in it standing for the first daemon's instance."""
        return self.prometheus.value(expression.replace("I=", f'instance="{self.daemon.address}",'))

    def becomes(self, expression: str, value: float) -> None:
        """Wait until Prometheus has seen a value."""
        assert eventually(lambda: self.value(expression), lambda found: found == value) == value, expression


@contextmanager
def story(docker_host: str, engine: DockerClient, folder: Path) -> Iterator[Story]:
    """All of it lived through, and seen."""
    with ExitStack() as stack:
        daemon = stack.enter_context(RunningDaemon(docker_host, tick="250ms"))
        away = stack.enter_context(RunningDaemon(None, tick="250ms"))
        targets = [daemon.address, away.address, NOBODY]
        prometheus = stack.enter_context(PrometheusServer(folder, targets))
        told = Story(daemon, away, prometheus)
        assert eventually(lambda: len(prometheus.query("up == 1")) == 2), "the daemons were never scraped"
        _declare(daemon)
        _without_engine(away)
        _break_manifests(daemon)
        _change_a_limit_behind_its_back(told, engine)
        _restarts_and_violations(told)
        yield told


def _declare(daemon: RunningDaemon) -> None:
    daemon.declare(
        "busy", command=["sh", "-c", "while :; do :; done"], **directories.limits(memory="64Mi", cpu="500m", pids=32)
    )
    daemon.declare(
        "full",
        command=["sh", "-c", FILL.format(kib=30 * 1024)],
        workingDir="/tmp",
        filesystem={"tmpfs": {"/tmp": "31Mi"}},
        enforcement={"memory": {"action": "warn"}},
        **directories.limits(memory="32Mi"),
    )
    greedy = "sleep 1.5; x=$(head -c 64000000 /dev/zero | tr '\\0' a); sleep 60"
    daemon.declare("greedy", command=["sh", "-c", greedy], **directories.limits(memory="16Mi"))
    directories.declare(
        daemon,
        "folder",
        *("sh", "-c", FILL.format(kib=19 * 512)),
        enforcement={"disk": {"action": "warn"}},
        **directories.limits(memory="64Mi", pids=16, disk="10Mi"),
    )
    daemon.declare("imageless", image="127.0.0.1:9/nothing:none")
    daemon.wait_ready("busy", "full", "folder")


def _without_engine(away: RunningDaemon) -> None:
    away.declare("fallen-back", fallback="directory")
    for name in DOOMED:
        directories.declare(away, name)
    away.wait_ready("fallen-back", *DOOMED)
    for name in DOOMED:
        away.undeclare(name)


def _break_manifests(daemon: RunningDaemon) -> None:
    daemon.write("broken.yaml", "apiVersion: sandkeeper.dev/v1alpha1\nkind: Sandbox\nmetadata: {name: broken\n")
    directories.declare(daemon, "edited")
    daemon.wait_ready("edited")
    directories.declare(daemon, "edited", **directories.limits(memory="much"))


def _change_a_limit_behind_its_back(told: Story, engine: DockerClient) -> None:
    container = engine.containers.get(told.daemon.status("busy")["containerID"])
    container.update(mem_limit=48 * MIB, memswap_limit=48 * MIB)

    def repaired() -> bool:
        container.reload()
        return bool(container.attrs["HostConfig"]["Memory"] == 64 * MIB)

    told.daemon.until(repaired, "the limit is put back")


def _restarts_and_violations(told: Story) -> None:
    """Two, so that a rate has an increase to show; and Prometheus has evaluated its rules since."""
    told.daemon.until(lambda: told.daemon.status("greedy")["restarts"] >= 2, "it was killed and started twice", 60)
    told.daemon.wait_condition("greedy", "Ready", "False")
    seen = time.time()
    eventually(lambda: (told.value("max(timestamp(up))") or 0.0) > seen + 1)
