"""One daemon a state folder, and the identity of the instance that it holds."""

from __future__ import annotations

import fcntl
import os
import re
import uuid
from pathlib import Path
from typing import Final

from controller.model.errors import AlreadyRunningError, StateError, UsageError

_MACHINE_ID: Final = Path("/etc/machine-id")
_NAMESPACE: Final = uuid.UUID("6f3d4b0e-5b7c-4f57-9a0d-6d1f1c2f9b11")
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class InstanceLock:
    """An exclusive `flock` on `<state-dir>/lock`, held for the daemon's life and not inherited by its children.

    A pid file alone is no lock: the pid in it is only there to name the holder.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "lock"
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take it. Raises AlreadyRunningError that names the holder; StateError where the folder cannot be written."""
        try:
            # Sandboxes pass through on their way to their workspaces; only we can list what is here.
            self._path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise StateError(
                f"cannot use the state folder {self._path.parent}: {exc.strerror}; choose another"
            ) from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            holder = os.pread(descriptor, 64, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise AlreadyRunningError(
                f"another sandkeeper (pid {holder}) runs on {self._path.parent}; stop it or choose another --state-dir"
            ) from exc
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it up."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def instance_of(state_dir: Path, given: str | None = None) -> str:
    """The instance's id: the one given, else the one kept in `<state-dir>/instance`, else a UUIDv5 of the machine's id
    and the folder's real path; kept from then on. Raises UsageError, StateError."""
    if given is not None and _ID.fullmatch(given) is None:
        raise UsageError(f"--instance {given!r} is not usable; write letters, digits, dots, dashes (at most 63)")
    kept = state_dir / "instance"
    try:
        known = kept.read_text().strip() if kept.exists() else ""
        if known and given is not None and known != given:
            raise UsageError(
                f"--instance {given} differs from {known}, which owns {state_dir}; choose another --state-dir"
            )
        instance = known or given or str(uuid.uuid5(_NAMESPACE, f"{_machine_id()}\0{state_dir.resolve()}"))
        if not known:
            kept.write_text(f"{instance}\n")
    except OSError as exc:
        raise StateError(f"cannot keep the instance id in {kept}: {exc.strerror}") from exc
    return instance


def read_instance(state_dir: Path, given: str | None = None) -> str:
    """The id that `instance_of` would give, without keeping it: for those who only look."""
    kept = state_dir / "instance"
    if given is not None:
        return given
    if kept.exists():
        return kept.read_text().strip()
    return str(uuid.uuid5(_NAMESPACE, f"{_machine_id()}\0{state_dir.resolve()}"))


def _machine_id() -> str:
    try:
        return _MACHINE_ID.read_text().strip()
    except OSError:
        return os.uname().nodename
