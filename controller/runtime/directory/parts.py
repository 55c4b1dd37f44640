"""What a lifecycle works with."""

from __future__ import annotations

from dataclasses import dataclass

from controller.model.clock import Clock
from controller.runtime.directory.client import SupervisorClient
from controller.runtime.directory.config import DirectoryConfig
from controller.runtime.directory.environment import Environments
from controller.runtime.directory.groups import Groups
from controller.runtime.directory.inventory import Inventory
from controller.runtime.directory.launch import Launcher
from controller.runtime.directory.live import LiveObserver
from controller.runtime.directory.observe import Observer
from controller.runtime.directory.processes import Processes
from controller.runtime.directory.uids import HostUids
from controller.runtime.directory.usage import UsageMeter
from controller.runtime.directory.users import Users
from controller.runtime.workspace import WorkspaceFolder


@dataclass(frozen=True, slots=True)
class Parts:
    """All that one state folder's instances are kept by."""

    config: DirectoryConfig
    inventory: Inventory
    observer: Observer
    live: LiveObserver
    groups: Groups
    processes: Processes
    client: SupervisorClient
    launcher: Launcher
    meter: UsageMeter
    workspaces: WorkspaceFolder
    uids: HostUids
    users: Users
    environments: Environments
    clock: Clock
