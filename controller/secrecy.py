"""Secrets whose values the redactor hears of before anybody else can, and texts without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from controller.model.errors import SecretUnavailableError
from controller.model.spec import SecretRef
from controller.report.redaction import SecretRedactor
from controller.runtime.secrets import FolderSecrets, NoSecrets, Secrets


class ToldSecrets:
    """Another store of secrets, which tells the redactor every value that is read from it."""

    def __init__(self, secrets: Secrets, redactor: SecretRedactor) -> None:
        self._secrets = secrets
        self._redactor = redactor

    def read(self, ref: SecretRef) -> str:
        """The value of one key. Raises SecretUnavailableError."""
        value = self._secrets.read(ref)
        self._redactor.add(value)
        return value


def secrets_of(folder: Path | None, redactor: SecretRedactor) -> Secrets:
    """The secrets of a folder, or none."""
    return ToldSecrets(FolderSecrets(folder) if folder else NoSecrets(), redactor)


def redacting(secrets: Secrets, redactor: SecretRedactor) -> Callable[[Sequence[SecretRef], str], str]:
    """What takes the values of secrets out of a text, given which ones its writer was handed."""

    def redact(refs: Sequence[SecretRef], text: str) -> str:
        # Read now: a daemon that was started since the sandbox was made has read none of them.
        for ref in refs:
            with suppress(SecretUnavailableError):
                secrets.read(ref)
        return redactor.redact(text)

    return redact
