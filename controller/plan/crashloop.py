"""How long a sandbox that keeps ending by itself waits before it is started again."""

from __future__ import annotations

from typing import Final

# kubelet's shape (doubling up to five minutes, forgotten after ten minutes of running) from a smaller base.
_BASE_SECONDS: Final = 1.0
_CAP_SECONDS: Final = 300.0
_LARGEST_EXPONENT: Final = 16
STABLE_SECONDS: Final = 600.0


def restart_delay(streak: int) -> float:
    """Seconds to wait after the `streak`-th end in a row (1 is the first, which restarts at once)."""
    if streak <= 1:
        return 0.0
    return min(_CAP_SECONDS, _BASE_SECONDS * 2.0 ** min(streak - 2, _LARGEST_EXPONENT))


def next_streak(streak: int, ran_for: float) -> int:
    """The length of the streak after another end; a run of ten minutes begins a new one."""
    return 1 if ran_for >= STABLE_SECONDS else streak + 1


def is_waiting(restart_after: float, now: float) -> bool:
    """Whether a restart is to be waited for still: one further off than the longest wait is due, since the clock was
    set back meanwhile."""
    return now < restart_after <= now + _CAP_SECONDS
