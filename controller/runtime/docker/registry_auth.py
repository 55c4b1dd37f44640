"""What a pull carries to its registry, from the caller's own Docker settings.

Where those name credential helpers, in a process of its own: docker-py waits for a helper without end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Final

from docker import auth

from controller.model.errors import RuntimeFailure
from controller.runtime.docker.translate import TRANSPORT_ERRORS

_ENDED: Final = -signal.SIGKILL


def registry_auth(repository: str, seconds: float) -> str:
    """The X-Registry-Auth header of a repository, "" where nothing is set for its registry. A helper that takes longer
    is killed. Raises RuntimeFailure.
    """
    try:
        config = auth.load_config()
        if config.creds_store or config.cred_helpers:
            return _asked_for(repository, seconds)
        return _header(config, repository)
    except TRANSPORT_ERRORS as exc:
        raise RuntimeFailure(f"Docker's settings for {repository} cannot be read: {exc}") from exc


def _asked_for(repository: str, seconds: float) -> str:
    command = [sys.executable, "-P", "-m", __name__, repository, str(seconds)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == _ENDED:
        raise RuntimeFailure(
            f"the credential helper for {repository} did not answer within {seconds:g} s: "
            "see credsStore and credHelpers in Docker's config.json"
        )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RuntimeFailure(f"Docker's settings for {repository} cannot be read: {said[-1]}")
    return done.stdout


def _header(config: auth.AuthConfig, repository: str) -> str:
    registry, _ = auth.resolve_repository_name(repository)
    found = config.resolve_authconfig(registry)
    return auth.encode_header(found).decode() if found else ""


def _main(repository: str, seconds: float) -> None:
    """Ends with all that it has begun, also where nobody waits for it any more."""
    os.setsid()
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(0, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    sys.stdout.write(_header(auth.load_config(), repository))


if __name__ == "__main__":
    _main(sys.argv[1], float(sys.argv[2]))
