"""Exponential backoff with full jitter, per key."""

from __future__ import annotations

import random
import threading
from collections.abc import Hashable
from typing import Final

_BASE_SECONDS: Final = 0.5
_CAP_SECONDS: Final = 60.0
# Beyond this the cap has long been reached; an unclamped exponent overflows a float at 1024, days into an outage.
_LARGEST_EXPONENT: Final = 10


class Backoff:
    """Delays that grow with each failure of a key and are forgotten on its success. Safe for threads."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures: dict[Hashable, int] = {}
        self._lock = threading.Lock()

    def next_delay(self, key: Hashable) -> float:
        """Seconds to wait after one more failure: anywhere up to min(cap, base · 2ⁿ)."""
        with self._lock:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            return self._rng.uniform(0.0, min(_CAP_SECONDS, _BASE_SECONDS * 2.0 ** min(failures, _LARGEST_EXPONENT)))

    def forget(self, key: Hashable) -> None:
        """The key succeeded."""
        with self._lock:
            self._failures.pop(key, None)
