"""What a process of a directory sandbox is started with: its environment, user, limits, control group and view."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from controller.model.errors import EnvironmentFailedError, UsageError
from controller.model.skill import SKILL_TARGET, SKILL_VARIABLE
from controller.model.spec import EnvVar, Limits
from controller.runtime.cgroup.group import CgroupGroup
from controller.runtime.directory.groups import join_files
from controller.runtime.directory.inventory import Entry
from controller.runtime.directory.membership import SANDBOX_MARKER
from controller.runtime.directory.places import TEMPORARY, coverable
from controller.runtime.directory.reach import closed_ancestors, may_mount
from controller.runtime.directory.record import TMP_FOLDER, DirectoryRecord, translated
from controller.runtime.directory.supervisor.view import SHARED_MEMORY
from controller.runtime.procfs import EXEC_MARKER
from controller.runtime.secrets import Secrets
from controller.runtime.skill_files import require_skill_files

VENV_FOLDER: Final = "venv"
WORKSPACE: Final = "/workspace"
PATH: Final = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Words:
    """What to run: `exec_token` empty: the main process, else an exec, by the token that marks its tree."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = ""
    exec_token: str = ""


class Launcher:
    """Composes launches, as `supervisor.spawn.Launch` wants them."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def compose(self, entry: Entry, words: Words, workspace: str, group: CgroupGroup | None) -> dict[str, Any]:
        """The launch of a command. Raises SecretUnavailableError; UsageError on a working folder outside the workspace;
        EnvironmentFailedError where its user cannot reach the workspace, and can be given no view of its own.
        """
        record = entry.record
        if record.skill:
            require_skill_files(record.skill)
        return {
            "argv": list(words.argv),
            "env": self._environment(entry, words, workspace),
            "cwd": working_folder(words.working_dir or record.command.working_dir, workspace),
            "home": workspace,
            "uid": record.host_uid,
            "open_files": record.limits.open_files,
            "processes": self._process_limit(entry, group),
            "join": join_files(group) if group is not None else [],
            "view": self._view(entry, workspace),
        }

    def _environment(self, entry: Entry, words: Words, workspace: str) -> dict[str, str]:
        venv = entry.folder / VENV_FOLDER
        env = {
            "PATH": f"{venv}/bin:{PATH}" if entry.record.venv else PATH,
            "HOME": workspace,
            "LANG": "C.UTF-8",
            "TMPDIR": str(entry.folder / TMP_FOLDER),
        }
        if entry.record.venv:
            env["VIRTUAL_ENV"] = str(venv)
        env |= {variable.name: self._value(variable) for variable in entry.record.command.env}
        if entry.record.skill:
            env[SKILL_VARIABLE] = skill_place(entry.record)
        env |= words.env
        env[SANDBOX_MARKER] = entry.id
        if words.exec_token:
            env[EXEC_MARKER] = words.exec_token
        return env

    def _value(self, variable: EnvVar) -> str:
        return variable.value or "" if variable.secret is None else self._secrets.read(variable.secret)

    def _process_limit(self, entry: Entry, group: CgroupGroup | None) -> int | None:
        """Where no group limits pids: a bound for a user of its own, so that a fork bomb is over before the tick."""
        if entry.record.host_uid is None or (group is not None and group.paths.pids is not None):
            return None
        return entry.record.limits.pids

    def _view(self, entry: Entry, workspace: str) -> dict[str, Any] | None:
        """As `supervisor.view.View` wants it; None where it has no user of its own, or where we may not mount."""
        if entry.record.host_uid is None:
            return None
        try:
            return self._view_of(entry, entry.record.host_uid, workspace)
        except OSError as exc:
            raise translated(exc, f"cannot look at what {entry.id} has to reach") from exc

    def _view_of(self, entry: Entry, host_uid: int, workspace: str) -> dict[str, Any] | None:
        record = entry.record
        tmp = str(entry.folder / TMP_FOLDER)
        seen = {workspace: False, tmp: False}
        if record.venv:
            seen[str(entry.folder / VENV_FOLDER)] = True
        if record.interpreter:
            seen[record.interpreter] = True
        if record.skill and skill_place(record) == record.skill:
            seen[record.skill] = True
        seen |= {os.path.realpath(path): read_only for path, read_only in seen.items()}
        hidden = closed_ancestors(seen, host_uid)
        if not may_mount():
            _refuse_hidden(hidden, host_uid)
            return None
        below = tuple(f"{folder}/" for folder in hidden)
        return {
            "hidden": list(hidden),
            "binds": [(path, read_only) for path, read_only in seen.items() if path.startswith(below)],
            "covers": [(place, tmp) for place in TEMPORARY if coverable(place, seen)],
            "shm_bytes": _shm_bytes(record.limits) if coverable(SHARED_MEMORY, seen) else None,
            **({"skill": [record.skill, SKILL_TARGET], "scratch": os.path.realpath(tmp)} if record.skill else {}),
        }


def skill_place(record: DirectoryRecord) -> str:
    """Where its processes find the skill's files: where they have a view of their own at the usual place, else where
    these are kept.
    """
    has_view = record.host_uid is not None and may_mount()
    return SKILL_TARGET if record.skill and has_view else record.skill


def _refuse_hidden(hidden: Sequence[str], host_uid: int) -> None:
    if hidden:
        raise EnvironmentFailedError(
            f"user {host_uid} may not pass through {', '.join(hidden)}: allow it (chmod o+x), or use a "
            "--state-dir that everybody can reach"
        )


def _shm_bytes(limits: Limits) -> int:
    """Half of its memory, as the machine's own is half of the machine's."""
    return (limits.memory or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")) // 2


def working_folder(named: str, workspace: str) -> str:
    """The folder that `/workspace` or a path below it stands for. Raises UsageError on any other."""
    path = os.path.normpath(named or WORKSPACE)
    if path != WORKSPACE and not path.startswith(f"{WORKSPACE}/"):
        raise UsageError(f"{named} lies outside the workspace: a directory sandbox works in {WORKSPACE}")
    return str(Path(workspace, path.removeprefix(WORKSPACE).lstrip("/")))
