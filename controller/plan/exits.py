"""Accounting for an end that was observed: whose doing it was, whether it counts, and when to start again."""

from __future__ import annotations

import signal
from dataclasses import replace

from controller.model.observed import Exit, InstanceState, Observed
from controller.model.quantity import format_memory
from controller.model.record import Record, Termination
from controller.model.spec import RestartPolicy, SandboxSpec
from controller.plan.crashloop import next_streak, restart_delay

_CANNOT_RUN_CODES = frozenset({126, 127})
_CANNOT_RUN_SECONDS = 1.0
ENGINE_RESTARTED = "EngineRestarted"


def unaccounted(record: Record, seen: Observed) -> bool:
    """True where this instance has ended and that end was not accounted for yet."""
    return (
        seen.state is InstanceState.EXITED and seen.exit is not None and record.handled_exit != _token(seen, seen.exit)
    )


def account(record: Record, seen: Observed, spec: SandboxSpec, now: float) -> Record:
    """The record after an end: its termination, and whether and when the restart policy starts it again."""
    if seen.exit is None:
        return record
    end = seen.exit
    termination = Termination(
        cause=_cause(record, seen, end),
        exit_code=end.code,
        signal=end.signal,
        oom_killed=end.oom_killed,
        finished_at=end.finished_at,
    )
    ended = replace(record, last_termination=termination, handled_exit=_token(seen, end), ending=None, frozen=False)
    if record.ending is not None and record.ending.verb != "kill":
        return replace(ended, crash_streak=0, restart_after=0.0)
    if end.engine_restarted:
        return replace(ended, restart_after=0.0)
    if cannot_run(seen):
        return failed(ended, seen.owner.spec_hash, "CannotRun", _cannot_run_text(seen, end))
    if not restarts(spec.lifecycle.restart_policy, end.code):
        return replace(ended, finished="Succeeded" if end.code == 0 else "Failed")
    streak = next_streak(record.crash_streak, end.finished_at - (seen.started_at or end.finished_at))
    return replace(ended, crash_streak=streak, restart_after=now + restart_delay(streak))


def failed(record: Record, spec_hash: str, reason: str, message: str) -> Record:
    """The record of a spec that waits for an edit."""
    return replace(record, failed_hash=spec_hash, failure_reason=reason, failure=message)


def restarts(policy: RestartPolicy, code: int) -> bool:
    """Whether the policy starts a sandbox again that ended with this status."""
    if policy is RestartPolicy.ON_FAILURE:
        return code != 0
    return policy is RestartPolicy.ALWAYS


def cannot_run(seen: Observed) -> bool:
    """True where its command could not even be executed: 126 or 127 within the first second."""
    if seen.exit is None or seen.exit.code not in _CANNOT_RUN_CODES or seen.started_at is None:
        return False
    return seen.exit.finished_at - seen.started_at <= _CANNOT_RUN_SECONDS


def _token(seen: Observed, end: Exit) -> str:
    return f"{seen.id}@{end.finished_at:.3f}"


def _cannot_run_text(seen: Observed, end: Exit) -> str:
    command = " ".join(seen.template.get("command") or seen.template.get("args") or ("its image's command",))
    why = end.error or ("not found" if end.code == 127 else "not executable")
    return f"{command}: {why} (exit {end.code}); correct spec.command or spec.image"


def _cause(record: Record, seen: Observed, end: Exit) -> str:
    if end.engine_restarted:
        return ENGINE_RESTARTED
    if record.ending is not None:
        return record.ending.cause
    if end.oom_killed:
        limit = seen.limits.memory
        return "memory: killed by the kernel" + (f" at the limit of {format_memory(limit)}" if limit else "")
    if end.signal:
        return f"ended by {_signal_name(end.signal)}"
    return f"exited with status {end.code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
