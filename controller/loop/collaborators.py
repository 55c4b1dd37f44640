"""What the parts of a pass work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controller.model.clock import Clock
from controller.model.identity import Key
from controller.report.protocol import Recorder
from controller.runtime.protocol import Runtime, Workspaces

from .evidence import Evidence
from .executor import Executor
from .holding import Holds
from .journal import Journal
from .outlook import Outlook
from .world import World


@dataclass(frozen=True, slots=True)
class Collaborators:
    """All that a reconciler works with."""

    world: World
    outlook: Outlook
    executor: Executor
    journal: Journal
    holds: Holds
    evidence: Evidence
    recorder: Recorder
    workspaces: Workspaces
    runtimes: Mapping[str, Runtime]
    clock: Clock
    wake: Callable[[Key], None]
