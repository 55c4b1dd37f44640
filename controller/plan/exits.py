"""Accounting for an end that was observed: whose doing it was, whether it counts, and when to start again."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

from controller.model.observed import Exit, InstanceState, Observed
from controller.model.quantity import format_memory
from controller.model.record import Intent, Record, Termination
from controller.model.spec import RestartPolicy, SandboxSpec
from controller.plan.crashloop import next_streak, restart_delay

ENGINE_RESTARTED: Final = "EngineRestarted"
REPLACE_FAILED: Final = "ReplaceFailed"
# Without probes a sandbox is Ready once its process has lived this long.
READY_SECONDS: Final = 1.0
_NOT_FOUND: Final = 127
_CANNOT_RUN_CODES: Final = frozenset({126, _NOT_FOUND})
_SHELLS: Final = frozenset({"sh", "ash", "bash", "dash", "ksh", "zsh"})
_COMMANDS_OPTION: Final = re.compile(r"-[a-zA-Z]*c[a-zA-Z]*")

KILL: Final = "kill"
RESTART: Final = "restart"
# An intent is kept in the record until its operation has succeeded, so that it outlives the daemon.
_CARRIED_OUT: Final = {KILL: "killed", RESTART: "restarted"}


def unfinished(ending: Intent | None) -> Intent | None:
    """An intent whose operation has not succeeded yet."""
    return ending if ending is not None and ending.verb in _CARRIED_OUT else None


def carried_out(intent: Intent) -> Intent:
    """The intent once its operation has succeeded and only the end is yet to be seen."""
    return replace(intent, verb=_CARRIED_OUT[intent.verb])


def unaccounted(record: Record, seen: Observed) -> bool:
    """True where this instance has ended and that end was not accounted for yet."""
    return (
        seen.state is InstanceState.EXITED and seen.exit is not None and record.handled_exit != _token(seen, seen.exit)
    )


def account(record: Record, seen: Observed, spec: SandboxSpec, now: float) -> Record:
    """The record after an end: its termination, and whether and when the restart policy starts it again."""
    if seen.exit is None:
        return record
    end, ended = seen.exit, noted(record, seen)
    if _asked_for(record, seen):
        restarted = record.ending is not None and record.ending.verb in (RESTART, _CARRIED_OUT[RESTART])
        return replace(ended, crash_streak=0, restart_after=0.0, restarts=record.restarts + restarted)
    if end.engine_restarted:
        return replace(ended, restart_after=0.0)
    if cannot_run(seen):
        return failed(ended, seen.owner.spec_hash, "CannotRun", _cannot_run_text(seen, end))
    if not restarts(spec.lifecycle.restart_policy, end.code):
        return replace(ended, finished="Succeeded" if end.code == 0 else "Failed")
    streak = next_streak(record.crash_streak, _ran_for(seen, end))
    again_at = now + restart_delay(streak)
    return replace(ended, crash_streak=streak, restart_after=again_at, restarts=record.restarts + 1)


def noted(record: Record, seen: Observed) -> Record:
    """The record after an end that has no consequences: its termination alone."""
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
    return replace(record, last_termination=termination, handled_exit=_token(seen, end), ending=None, frozen=False)


def end_text(record: Record) -> str:
    """How it ended last."""
    return record.last_termination.cause if record.last_termination else "ended by itself"


def failed(record: Record, spec_hash: str, reason: str, message: str) -> Record:
    """The record of a spec that waits for an edit."""
    return replace(record, failed_hash=spec_hash, failure_reason=reason, failure=message)


def forgiven(record: Record) -> Record:
    """The record of a spec that is tried again."""
    return replace(record, failed_hash="", failure_reason="", failure="", finished="", restart_after=0.0)


def failed_to_replace(record: Record, seen: Observed, spec: SandboxSpec) -> bool:
    """True where a new instance ended by its own doing before it was Ready, and not because its work was done."""
    if seen.exit is None or _asked_for(record, seen) or seen.exit.engine_restarted:
        return False
    done = seen.exit.code == 0 and not restarts(spec.lifecycle.restart_policy, 0)
    return not done and not was_ready(seen)


def was_ready(seen: Observed) -> bool:
    """True where an instance that has ended lived long enough to have been Ready."""
    return seen.exit is not None and _ran_for(seen, seen.exit) >= READY_SECONDS


def restarts(policy: RestartPolicy, code: int) -> bool:
    """Whether the policy starts a sandbox again that ended with this status."""
    if policy is RestartPolicy.ON_FAILURE:
        return code != 0
    return policy is RestartPolicy.ALWAYS


def cannot_run(seen: Observed) -> bool:
    """True where its command could not even be executed: 126 or 127 within the first second."""
    if seen.exit is None or seen.exit.code not in _CANNOT_RUN_CODES or seen.started_at is None:
        return False
    return _ran_for(seen, seen.exit) <= READY_SECONDS


def _asked_for(record: Record, seen: Observed) -> bool:
    """True where we stopped it; a kill by enforcement counts as its own doing."""
    if record.replacing is not None and record.replacing.predecessor == seen.id:
        return True
    return record.ending is not None and record.ending.verb not in (KILL, _CARRIED_OUT[KILL])


def _ran_for(seen: Observed, end: Exit) -> float:
    return end.finished_at - (seen.started_at or end.finished_at)


def _token(seen: Observed, end: Exit) -> str:
    return f"{seen.id}@{end.finished_at:.3f}"


def _cannot_run_text(seen: Observed, end: Exit) -> str:
    words = [*(seen.template.get("command") or ()), *(seen.template.get("args") or ())]
    if not end.error and _is_script(words):
        what = "was not found" if end.code == _NOT_FOUND else "is not executable"
        return f"exit {end.code}: a command {what}; see its log; correct spec.command or spec.image"
    # Only the program: its arguments may hold what is nobody's business.
    program = words[0] if words else "its image's command"
    why = end.error or ("not found" if end.code == _NOT_FOUND else "not executable")
    return f"{program}: {why} (exit {end.code}); correct spec.command or spec.image"


def _is_script(words: Sequence[str]) -> bool:
    """Whether a shell is given its commands by `-c`: its status is then that of one of them."""
    is_shell = bool(words) and PurePosixPath(words[0]).name in _SHELLS
    return is_shell and any(_COMMANDS_OPTION.fullmatch(word) for word in words[1:])


def _cause(record: Record, seen: Observed, end: Exit) -> str:
    if end.engine_restarted:
        return ENGINE_RESTARTED
    if record.ending is not None:
        return record.ending.cause
    if record.replacing is not None and record.replacing.predecessor == seen.id:
        return "stopped for its replacement"
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
