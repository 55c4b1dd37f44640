"""What the folder of an instance says of it: `sandbox.json` (whose it is and what it was made from), runs and exits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from controller.model.errors import DiskFullError, RuntimeFailure
from controller.model.identity import Key, Owner
from controller.model.observed import Exit
from controller.model.spec import EnvVar, Limits, SecretRef
from controller.runtime.directory.atomic import forget_json, reserve_json, write_json, write_reserved_json
from controller.runtime.directory.wire import EXIT_FILE, RUN_FILE

RECORD_FILE: Final = "sandbox.json"
PAUSED_FILE: Final = "paused"
TMP_FOLDER: Final = "tmp"
_VERSION: Final = 1
_NO_SPACE: Final = frozenset({28, 122})  # ENOSPC, EDQUOT


@dataclass(frozen=True, slots=True)
class Command:
    """What an instance runs: `words` empty: nothing of its own. Values of secrets are read when it starts."""

    words: tuple[str, ...]
    env: tuple[EnvVar, ...]
    working_dir: str


@dataclass(frozen=True, slots=True)
class DirectoryRecord:
    """`sandbox.json`. `host_uid` None: the controller's own user. `limits` are those last asked for.

    `venv`: there is an environment; `interpreter` is the folder that its Python lives in. `skill` is the folder of its
    skill's files; empty: it has none.
    """

    owner: Owner
    template: Mapping[str, Any]
    limits: Limits
    command: Command
    host_uid: int | None
    created_at: float
    venv: bool = False
    interpreter: str = ""
    skill: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One run; pid None where there is no command. `supervisor` is the identity of the process that started it."""

    started_at: float
    pid: int | None
    supervisor: str


def instance_id(owner: Owner) -> str:
    """`<uid>-<slot>`: the name of its folder and its control group; never its namespace or name."""
    return f"{owner.uid}-{owner.slot}"


def write_record(folder: Path, record: DirectoryRecord) -> None:
    """Replace `sandbox.json`. Raises DiskFullError, RuntimeFailure."""
    body = {
        "version": _VERSION,
        "owner": {**asdict(record.owner), "key": list(record.owner.key)},
        "template": dict(record.template),
        "limits": asdict(record.limits),
        "command": asdict(record.command),
        "hostUid": record.host_uid,
        "createdAt": record.created_at,
        "venv": record.venv,
        "interpreter": record.interpreter,
        "skill": record.skill,
    }
    try:
        write_json(f"{folder}/{RECORD_FILE}", body)
    except OSError as exc:
        raise translated(exc, f"cannot write {folder / RECORD_FILE}") from exc


def parse_record(body: Mapping[str, Any]) -> DirectoryRecord:
    """The record of `sandbox.json`'s content. Raises KeyError, TypeError or ValueError on anything else."""
    if body["version"] != _VERSION:
        raise ValueError(f"is of version {body['version']}, not {_VERSION}")
    owner = body["owner"]
    command = body["command"]
    return DirectoryRecord(
        owner=Owner(**{**owner, "key": Key(*owner["key"])}),
        template=body["template"],
        limits=Limits(**body["limits"]),
        command=Command(
            tuple(command["words"]), tuple(_env_var(entry) for entry in command["env"]), command["working_dir"]
        ),
        host_uid=body["hostUid"],
        created_at=body["createdAt"],
        venv=body["venv"],
        interpreter=body["interpreter"],
        skill=body.get("skill", ""),
    )


def _env_var(entry: Mapping[str, Any]) -> EnvVar:
    secret = entry["secret"]
    return EnvVar(entry["name"], entry["value"], None if secret is None else SecretRef(**secret))


def parse_run(body: Mapping[str, Any] | None) -> Run | None:
    """The run that `run.json` tells of."""
    return None if not body else Run(body["startedAt"], body["pid"], body["supervisor"])


def parse_exit(body: Mapping[str, Any] | None, run: Run | None) -> Exit | None:
    """The exit of that very run; None where the record is of an earlier one, or none was written yet."""
    if not body or run is None or body["startedAt"] != run.started_at:
        return None
    return Exit(
        code=body["code"],
        signal=body["signal"],
        oom_killed=body["oomKilled"],
        finished_at=body["finishedAt"],
        engine_restarted=body["engineRestarted"],
        error=body["error"],
    )


def write_run(folder: Path, started_at: float) -> None:
    """Record that an instance without a command is up. Raises DiskFullError, RuntimeFailure."""
    try:
        reserve_json(f"{folder}/{EXIT_FILE}")
        try:
            write_json(f"{folder}/{RUN_FILE}", {"startedAt": started_at, "pid": None, "supervisor": ""})
        except OSError:
            forget_json(f"{folder}/{RUN_FILE}")  # the former run, whose exit is gone by now
            raise
    except OSError as exc:
        raise translated(exc, f"cannot write in {folder}") from exc


def write_exit(folder: Path, run: Run, end: Exit) -> None:
    """Record an exit that no supervisor records. Raises DiskFullError, RuntimeFailure."""
    body = {
        "startedAt": run.started_at,
        "code": end.code,
        "signal": end.signal,
        "oomKilled": end.oom_killed,
        "finishedAt": end.finished_at,
        "engineRestarted": end.engine_restarted,
        "error": end.error,
    }
    try:
        write_reserved_json(f"{folder}/{EXIT_FILE}", body)
    except OSError as exc:
        raise translated(exc, f"cannot write in {folder}") from exc


def with_limits(record: DirectoryRecord, limits: Limits) -> DirectoryRecord:
    """The record with other limits."""
    return replace(record, limits=limits)


def translated(exc: OSError, what: str) -> RuntimeFailure:
    """A file system's error as ours."""
    reason = exc.strerror or str(exc)
    if exc.errno in _NO_SPACE:
        return DiskFullError(f"{what}: {reason}; free space on its file system")
    return RuntimeFailure(f"{what}: {reason}")
