"""Where the values of secrets come from: read when a sandbox is made, never kept, never told."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final, Protocol

from controller.model.errors import SecretUnavailableError
from controller.model.spec import SecretRef

_PART: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_LARGEST: Final = 1 << 20  # Kubernetes' own limit for a Secret


class Secrets(Protocol):
    """A store of secrets."""

    def read(self, ref: SecretRef) -> str:
        """The value of one key. Raises SecretUnavailableError."""


class NoSecrets:
    """The store of a daemon that was given none."""

    def read(self, ref: SecretRef) -> str:
        raise SecretUnavailableError(f"secret {ref.name}/{ref.key}: no folder of secrets is set; see --secrets-dir")


class FolderSecrets:
    """Secrets as files `<folder>/<name>/<key>`; one newline at the end is not part of the value.

    Folders and files have to belong to us or to root and be closed to everybody else (0700, 0600). Symlinks inside the
    folder are not followed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, ref: SecretRef) -> str:
        """The value of one key. Raises SecretUnavailableError."""
        if not _PART.fullmatch(ref.name) or not _PART.fullmatch(ref.key):
            raise SecretUnavailableError(f"secret {ref.name}/{ref.key}: no such name can be a file's")
        try:
            return self._value(ref)
        except FileNotFoundError as exc:
            place = self._folder / ref.name / ref.key
            raise SecretUnavailableError(
                f"secret {ref.name}/{ref.key} does not exist: put its value in {place} (0600)"
            ) from exc
        except (OSError, UnicodeDecodeError) as exc:
            raise SecretUnavailableError(f"secret {ref.name}/{ref.key} cannot be read: {_reason(exc)}") from exc

    def _value(self, ref: SecretRef) -> str:
        top = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _refuse_open_to_others(top, self._folder)
            folder = os.open(ref.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
        finally:
            os.close(top)
        try:
            _refuse_open_to_others(folder, self._folder / ref.name)
            file = os.open(ref.key, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
        with open(file, "rb") as opened:  # noqa: PTH123 - a descriptor
            _refuse_open_to_others(file, self._folder / ref.name / ref.key)
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise SecretUnavailableError(f"{self._folder / ref.name / ref.key} is not a file")
            content = opened.read(_LARGEST + 1)
        if len(content) > _LARGEST or b"\0" in content:
            raise SecretUnavailableError(f"secret {ref.name}/{ref.key} is larger than 1 MiB, or holds a zero byte")
        return content.decode().removesuffix("\n")


def _refuse_open_to_others(descriptor: int, path: Path) -> None:
    found = os.fstat(descriptor)
    if found.st_uid not in (0, os.geteuid()):
        raise SecretUnavailableError(f"{path} belongs to user {found.st_uid}: it must be our own or root's")
    if found.st_mode & _OTHERS:
        mode = "0700" if stat.S_ISDIR(found.st_mode) else "0600"
        raise SecretUnavailableError(f"{path} can be read by others: chmod {mode} {path}")


def _reason(exc: OSError | UnicodeDecodeError) -> str:
    return exc.strerror or "not readable" if isinstance(exc, OSError) else "it is not UTF-8"
