"""Waiting for what a runtime prepares beside its callers."""

from __future__ import annotations

import time

from controller.model.errors import PreparingError
from controller.model.spec import Desired
from controller.runtime.protocol import Runtime

SECONDS = 60.0


def prepared(runtime: Runtime, wanted: Desired) -> None:
    """Ask until it is prepared; raises what it failed with."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            runtime.prepare(wanted)
        except PreparingError:
            assert time.monotonic() < deadline, f"{wanted.key} is not prepared"
            time.sleep(0.01)
        else:
            return
