"""The one error hierarchy. Foreign exceptions are translated into it at the seam where they appear."""

from __future__ import annotations


class SandkeeperError(Exception):
    """Base of every error that sandkeeper raises on purpose; its text says what to do next.

    `operation` is the verb of the planned operation that failed, set by the executor.
    """

    operation = ""


class UsageError(SandkeeperError):
    """The caller asked for something that cannot be meant: exit status 64 on the command line."""


class QuantityError(SandkeeperError, ValueError):
    """A quantity, percentage or duration that cannot be read."""


class StateError(SandkeeperError):
    """The state folder, store or holds file cannot be read or written."""


class AlreadyRunningError(StateError):
    """Another daemon holds the lock of this state folder."""


class DaemonUnreachableError(SandkeeperError):
    """No daemon answers on the state folder's socket."""


class UnknownSandboxError(SandkeeperError):
    """The daemon knows no sandbox of that name."""


class ToolError(SandkeeperError):
    """A tool could not do what it was asked inside a sandbox."""


class ToolUnavailableError(ToolError):
    """A skill names a tool that nobody has registered."""


class RuntimeFailure(SandkeeperError):  # noqa: N818 - "failure" is what operators call it
    """A runtime could not do what was asked. `reason` is a CamelCase word for conditions and metrics."""

    reason = "RuntimeFailure"


class EngineUnavailableError(RuntimeFailure):
    """The engine cannot be reached; `reason` tells why (EngineDown, EnginePermission, EngineNotLocal)."""

    reason = "EngineDown"

    def __init__(self, message: str, reason: str = "EngineDown") -> None:
        super().__init__(message)
        self.reason = reason


class EngineTimeoutError(RuntimeFailure):
    """A call on the engine did not answer in time."""

    reason = "EngineTimeout"


class DiskFullError(RuntimeFailure):
    """The engine or the state folder has no space left."""

    reason = "DiskFull"


class InstanceNotFoundError(RuntimeFailure):
    """A confirmed absence (an engine's 404), never a guess from another error."""

    reason = "NotFound"


class ConflictError(RuntimeFailure):
    """The runtime is in another state than was observed: look again."""

    reason = "Conflict"


class NotOwnedError(RuntimeFailure):
    """The target does not carry this instance's label. It is never touched."""

    reason = "NotOwned"


class PreparingError(RuntimeFailure):
    """What a create needs is under way; the runtime wakes the key when it has come, or has failed to."""

    reason = "Preparing"


class ImageUnavailableError(RuntimeFailure):
    """The image is neither present nor to be had under its pull policy."""

    reason = "ImageUnavailable"


class ResizePendingError(RuntimeFailure):
    """A new limit lies below present usage; the old one stays in force until usage falls."""

    reason = "ResizePending"


class CannotRunError(RuntimeFailure):
    """The sandbox can never run as specified (no such command, refused by the runtime)."""

    reason = "CannotRun"


class SecretUnavailableError(RuntimeFailure):
    """A secret is not there, or others could read it. The text names it, never its value."""

    reason = "SecretUnavailable"


class EnvironmentFailedError(RuntimeFailure):
    """Packages could not be resolved or installed."""

    reason = "EnvironmentFailed"
