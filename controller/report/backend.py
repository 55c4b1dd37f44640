"""What an application is served from."""

from __future__ import annotations

from dataclasses import dataclass, field

from controller.report.lanes import Lane
from controller.report.metrics import Metrics
from controller.report.protocol import ControlPlane
from controller.report.usage_history import UsageHistory


@dataclass(frozen=True, slots=True)
class Lanes:
    """The threads of one application, by kind of call: none can take those of another."""

    probes: Lane = field(default_factory=lambda: Lane("probes", 4))
    reads: Lane = field(default_factory=lambda: Lane("reads", 4))
    acts: Lane = field(default_factory=lambda: Lane("acts", 8))
    streams: Lane = field(default_factory=lambda: Lane("streams", 64))


@dataclass(frozen=True, slots=True)
class Backend:
    """`private`: only the daemon's own user reaches this application. It shows what sandboxes' processes wrote, which
    may hold secrets, and takes on work that anybody else could ask for without end."""

    control: ControlPlane
    metrics: Metrics
    history: UsageHistory
    private: bool
    lanes: Lanes = field(default_factory=Lanes)
