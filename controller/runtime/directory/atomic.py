"""Small JSON files that are either the old ones or the new ones, whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any, Final

_RESERVED_BYTES: Final = 2048


def write_json(path: str, value: Mapping[str, Any], durable: bool = True) -> None:
    """Replace a file (0600) by the value. `durable`: it is on the disk on return. Raises OSError."""
    temporary = f"{path}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        file.write(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())
        file.flush()
        if durable:
            os.fsync(file.fileno())
    os.rename(temporary, path)
    if durable:
        _sync_folder(os.path.dirname(path))


def reserve_json(path: str) -> None:
    """Make or replace a file by an empty object with room to spare, for `write_reserved_json`. Raises OSError."""
    temporary = f"{path}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        file.write(b"{}".ljust(_RESERVED_BYTES))
    os.rename(temporary, path)


def write_reserved_json(path: str, value: Mapping[str, Any]) -> None:
    """As write_json; where that fails, on a full disk above all, write over the reserved file in one call.

    Raises OSError, ValueError past the room there is.
    """
    try:
        write_json(path, value)
    except OSError:
        _overwrite(path, value)


def forget_json(path: str) -> None:
    """Remove a file. Idempotent; raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def read_json(path: str) -> dict[str, Any] | None:
    """The value of a file; None where there is none. Raises OSError, and ValueError where it is no JSON object."""
    try:
        with open(path, "rb") as file:
            value = json.loads(file.read())
    except FileNotFoundError:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no object")
    return value


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _overwrite(path: str, value: Mapping[str, Any]) -> None:
    content = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode().ljust(_RESERVED_BYTES)
    if len(content) > _RESERVED_BYTES:
        raise ValueError(f"{path} has no room for {len(content)} bytes")
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.pwrite(descriptor, content, 0)
    finally:
        os.close(descriptor)
    os.utime(os.path.dirname(path))
