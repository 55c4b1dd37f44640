"""What the rooms raise, as the ValueErrors and RuntimeErrors of the Python API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from controller.model.errors import EngineUnavailableError, SandboxError, SandkeeperError


@contextmanager
def as_api_errors() -> Iterator[None]:
    """A ValueError or RuntimeError of ours passes; any other error of ours becomes a SandboxError with its text."""
    try:
        yield
    except EngineUnavailableError as exc:
        raise SandboxError(f"container mode needs Docker, and cannot have it: {exc}") from exc
    except SandkeeperError as exc:
        if isinstance(exc, ValueError | RuntimeError):
            raise
        raise SandboxError(str(exc)) from exc
