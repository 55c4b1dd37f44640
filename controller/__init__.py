"""sandkeeper: Sandbox manifests in a folder, kept real as containers or directories on one machine.

Its Python API: SandboxBuilder, ContainerConfig, ResourceLimits, ResourceManager.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controller.sandbox.container_config import ContainerConfig, ResourceLimits
    from controller.sandbox.resource_manager import ResourceManager
    from controller.sandbox_builder import SandboxBuilder

__version__ = "0.1.0"
__all__ = ["ContainerConfig", "ResourceLimits", "ResourceManager", "SandboxBuilder", "__version__"]

# Loaded when they are first asked for: the command line and the supervisor do without.
_LAZY = {
    "ContainerConfig": "controller.sandbox.container_config",
    "ResourceLimits": "controller.sandbox.container_config",
    "ResourceManager": "controller.sandbox.resource_manager",
    "SandboxBuilder": "controller.sandbox_builder",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
