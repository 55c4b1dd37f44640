"""The enforcement contract of one instance, read back from its control group and its live process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.model.observed import Assurance, ContractRow
from controller.model.quantity import format_cpu, format_memory
from controller.model.skill import SKILL_TARGET
from controller.model.spec import NetworkMode, SandboxSpec
from controller.runtime.cgroup.limits import CgroupLimits, limit_file, machine_swaps

_ENFORCED, _MEASURED, _UNENFORCEABLE = Assurance.ENFORCED, Assurance.MEASURED, Assurance.UNENFORCEABLE
_NO_CONTROLLER: Final = "no {0} cgroup is ours to write: run as root, or delegate one (systemd's Delegate=yes)"
_OWN_USER: Final = "it runs as the controller's own user, which may change its group: run the controller as root"
_OWN_FILES: Final = "it runs as the controller's own user, which may make the files writable: run it as root"
_AT_START: Final = "nothing of it runs now: put in force with each command"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found: the group's limits (None: there is no group), its version, what /proc/<pid>/status says of the
    main process by field (None: none runs) and its soft and hard limit of open files, the sandbox's own host user, and
    where memory that it fills outlives it. `skill` is where its processes find the skill's files; empty: nowhere.
    """

    group: CgroupLimits | None
    version: int
    status: Mapping[str, str] | None
    open_files: str
    host_uid: int | None
    outlived_in: tuple[str, ...] = ()
    skill: str = ""


def read_process(pid: int | None) -> tuple[Mapping[str, str] | None, str]:
    """status by field, and `soft:hard` of open files; None and empty where there is no such process."""
    if pid is None:
        return None, ""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
        limits = Path(f"/proc/{pid}/limits").read_text(encoding="utf-8")
    except OSError:
        return None, ""
    fields = {name: value.strip() for name, _, value in (line.partition(":") for line in status.splitlines())}
    line = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    return fields, ":".join(line.split()[3:5])


def contract_rows(evidence: Evidence, spec: SandboxSpec) -> tuple[ContractRow, ...]:
    """A row for each limit that the spec sets and each part of the profile."""
    return (*_resources(evidence, spec), *_profile(evidence, spec))


def _resources(evidence: Evidence, spec: SandboxSpec) -> Iterator[ContractRow]:
    limits = spec.limits
    if limits.memory is not None:
        yield _resource(evidence, "memory", format_memory(limits.memory), format_memory)
        yield _swap(evidence)
    if limits.cpu is not None:
        yield _resource(evidence, "cpu", format_cpu(limits.cpu), format_cpu)
    if limits.pids is not None:
        yield _resource(evidence, "pids", str(limits.pids), str)
    if limits.disk is not None:
        mechanism = "walk of workspace and TMPDIR beside the tick"
        reason = "what it writes elsewhere on the machine is not counted"
        yield ContractRow("disk", _MEASURED, mechanism, format_memory(limits.disk), reason)
    if limits.open_files is not None:
        yield _open_files(evidence, limits.open_files)


def _resource(evidence: Evidence, name: str, wanted: str, shown: Callable[[int], str]) -> ContractRow:
    group = evidence.group
    if group is None or name not in group.known:
        return ContractRow(name, _MEASURED, "tick", wanted, _NO_CONTROLLER.format(name))
    mechanism = _group_file(evidence, name)
    value: int | None = getattr(group, name)
    if value is None:
        return ContractRow(name, _MEASURED, "tick", wanted, f"{mechanism} sets no limit; it is put back")
    if evidence.host_uid is None:
        return ContractRow(name, _MEASURED, mechanism, shown(value), _OWN_USER)
    if evidence.outlived_in and name == "memory":
        reason = f"what it leaves in {', '.join(evidence.outlived_in)} counts no more once it has ended"
        return ContractRow(name, _MEASURED, mechanism, shown(value), reason)
    return ContractRow(name, _ENFORCED, mechanism, shown(value))


def _group_file(evidence: Evidence, name: str) -> str:
    return f"cgroup v{evidence.version} {limit_file(name, evidence.version)}"


def _swap(evidence: Evidence) -> ContractRow:
    group = evidence.group
    if group is not None and group.swap == 0 and evidence.host_uid is not None:
        return ContractRow("swap", _ENFORCED, _group_file(evidence, "swap"), "0")
    if not machine_swaps():
        return ContractRow("swap", _ENFORCED, "the machine has no swap", "0")
    if group is None or "memory" not in group.known:
        return ContractRow("swap", _UNENFORCEABLE, "none", reason=_NO_CONTROLLER.format("memory"))
    reason = "the kernel does not count swap (boot with swapaccount=1)"
    if group.swap == 0:
        reason = _OWN_USER
    elif "swap" in group.known:
        reason = "memory can be swapped out beyond its limit"
    return ContractRow("swap", _UNENFORCEABLE, _group_file(evidence, "swap"), reason=reason)


def _open_files(evidence: Evidence, wanted: int) -> ContractRow:
    mechanism = "RLIMIT_NOFILE of each process"
    if evidence.status is None:
        return ContractRow("openFiles", _ENFORCED, mechanism, str(wanted), _AT_START)
    _, _, hard = evidence.open_files.partition(":")
    if hard.isdigit() and int(hard) <= wanted:
        reason = "" if int(hard) == wanted else "the controller's own limit is lower: raise LimitNOFILE"
        return ContractRow("openFiles", _ENFORCED, mechanism, hard, reason)
    return ContractRow("openFiles", _UNENFORCEABLE, mechanism, hard, "the live process is not as asked for")


def _profile(evidence: Evidence, spec: SandboxSpec) -> Iterator[ContractRow]:
    if spec.network.mode is NetworkMode.NONE:
        reason = "a directory sandbox shares the machine's network: use isolation: container for none"
        yield ContractRow("network", _UNENFORCEABLE, "none", "host", reason)
    yield _filesystem(evidence)
    if spec.skill is not None:
        yield _skill(evidence)
    status = evidence.status
    yield _capabilities(status)
    filtered = status is not None and status.get("Seccomp") == "2"
    value = "filter" if filtered else "unconfined"
    yield ContractRow("seccomp", _UNENFORCEABLE, "none", value, "a directory sandbox has no filter of system calls")
    yield _user(evidence)


def _filesystem(evidence: Evidence) -> ContractRow:
    if evidence.host_uid is None:
        reason = f"it runs as the controller's own user {os.geteuid()}: what that user may read and write, it may"
    else:
        reason = "it reads what everybody may read, and writes where everybody may write"
    return ContractRow("filesystem", _UNENFORCEABLE, "file permissions", "host", reason)


def _skill(evidence: Evidence) -> ContractRow:
    if evidence.host_uid is None:
        return ContractRow("skill", _UNENFORCEABLE, "file permissions", evidence.skill, _OWN_FILES)
    mechanism = "read-only mount" if evidence.skill == SKILL_TARGET else "file permissions"
    return ContractRow("skill", _ENFORCED, mechanism, evidence.skill)


def _capabilities(status: Mapping[str, str] | None) -> ContractRow:
    mechanism = "change of user, bounding set, no_new_privs" if os.geteuid() == 0 else "no_new_privs"
    if status is None:
        return ContractRow("capabilities", _ENFORCED, mechanism, "none", _AT_START)
    held = {name: int(status.get(name, "1"), 16) for name in ("CapEff", "CapPrm", "CapAmb")}
    if not any(held.values()) and status.get("NoNewPrivs") == "1":
        return ContractRow("capabilities", _ENFORCED, mechanism, "none")
    return ContractRow("capabilities", _UNENFORCEABLE, mechanism, status.get("CapEff", ""), "the live process has some")


def _user(evidence: Evidence) -> ContractRow:
    if evidence.host_uid is None:
        reason = "the controller is not root: every sandbox runs as its own user"
        return ContractRow("user", _UNENFORCEABLE, "none", str(os.geteuid()), reason)
    mechanism = "a host user of the sandbox's own"
    if evidence.status is None:
        return ContractRow("user", _ENFORCED, mechanism, str(evidence.host_uid), _AT_START)
    uids = set(evidence.status.get("Uid", "").split())
    if uids == {str(evidence.host_uid)}:
        return ContractRow("user", _ENFORCED, mechanism, str(evidence.host_uid))
    shown = " ".join(sorted(uids))
    return ContractRow("user", _UNENFORCEABLE, mechanism, shown, "the live process is not as asked for")
