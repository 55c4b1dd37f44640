"""Finding the engine as Docker's own client finds it, as far as it is on this machine."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from controller.model.errors import EngineUnavailableError

DEFAULT_SOCKET: Final = "/var/run/docker.sock"
_SCHEME: Final = "unix://"


def engine_socket(given: str | None, environ: Mapping[str, str] | None = None) -> str:
    """The path of the engine's socket: what was given, else DOCKER_HOST, DOCKER_CONTEXT, the current context, the
    default (https://docs.docker.com/engine/manage-resources/contexts/).

    Raises EngineUnavailableError, with reason EngineNotLocal where the engine is not behind a unix socket.
    """
    env = os.environ if environ is None else environ
    if given:
        return _local(given, "the engine's address in sandkeeper's settings")
    if host := env.get("DOCKER_HOST"):
        return _local(host, "DOCKER_HOST")
    folder = Path(env.get("DOCKER_CONFIG") or Path(env.get("HOME", "/")) / ".docker")
    context = env.get("DOCKER_CONTEXT") or _current_context(folder / "config.json")
    if context in ("", "default"):
        return DEFAULT_SOCKET
    return _local(_host_of(folder, context), f"Docker's context {context!r}")


def _local(address: str, origin: str) -> str:
    path = address.removeprefix(_SCHEME)
    if path.startswith("/"):
        return path
    raise EngineUnavailableError(
        f"{origin} names {address}: only an engine behind a unix socket of this machine can be used; "
        "set DOCKER_HOST=unix:///path/to/docker.sock",
        "EngineNotLocal",
    )


def _current_context(config: Path) -> str:
    try:
        value = json.loads(config.read_text()).get("currentContext", "")
    except (OSError, ValueError, AttributeError):
        return ""  # as Docker's client: a config that cannot be read chooses nothing
    return value if isinstance(value, str) else ""


def _host_of(folder: Path, context: str) -> str:
    meta = folder / "contexts/meta" / hashlib.sha256(context.encode()).hexdigest() / "meta.json"
    try:
        return str(json.loads(meta.read_text())["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise EngineUnavailableError(
            f"Docker's context {context!r} has no readable endpoint ({exc}); choose another with `docker context use`"
        ) from exc
