"""The enforcement contract of one container, read back from its cgroup and from /proc: what is asked proves nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from controller.model.capabilities import mask_of
from controller.model.observed import Assurance, ContractRow
from controller.model.quantity import format_cpu, format_memory
from controller.model.skill import SKILL_TARGET
from controller.model.spec import Limits, NetworkMode, SandboxSpec
from controller.runtime.cgroup.limits import CgroupLimits, limit_file, machine_swaps
from controller.runtime.docker.container import Container
from controller.runtime.docker.live import LiveProcess
from controller.runtime.docker.profile import cpu_clamped

_FILTER_MODE: Final = "2"  # proc(5), Seccomp: a filter, as the engine's profile is one
_CAPABILITY_SETS: Final = ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")
_TMPFS_OPTIONS: Final = frozenset({"noexec", "nosuid", "nodev"})
_GVISOR: Final = "gVisor"
_GVISOR_REASON: Final = "kept by gVisor's own kernel as asked for at creation; this machine's /proc does not show it"
_GVISOR_PIDS_REASON: Final = (
    "the machine does not see the processes on gVisor's kernel: what is limited is its threads, to 64 and 16 for each "
    "process allowed, and reaching it ends the sandbox"
)
_HIDDEN: Final = "the container's process cannot be seen from here (another pid namespace, or a hidden /proc)"
_NO_GROUP: Final = "the container's cgroup cannot be seen from here"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found: the container, its live cgroup limits and process (None where not seen), the machine's cpu in
    thousandths of a core, and why the bridge of a sandbox on one is not closed ("" where it is).
    """

    container: Container
    group: CgroupLimits | None
    cgroup_version: int
    process: LiveProcess | None
    max_cpu: int
    bridge_gap: str


def contract_rows(evidence: Evidence, spec: SandboxSpec) -> tuple[ContractRow, ...]:
    """A row for each limit that the spec sets and each part of the profile."""
    rows = [*_resources(evidence, spec.limits), *_disk(evidence, spec), *_profile(evidence, spec)]
    return tuple(rows)


def _resources(evidence: Evidence, limits: Limits) -> Iterator[ContractRow]:
    if limits.memory is not None:
        yield _in_group(evidence, "memory", format_memory)
        yield _swap(evidence)
    if limits.cpu is not None:
        row = _in_group(evidence, "cpu", format_cpu)
        yield _because(row, cpu_clamped(limits.cpu, evidence.max_cpu))
    if limits.pids is not None:
        yield _gvisor_pids(evidence) if evidence.container.gvisor else _in_group(evidence, "pids", str)


def _in_group(evidence: Evidence, name: str, shown: Callable[[int], str]) -> ContractRow:
    group = evidence.group
    mechanism = _group_file(evidence, name)
    if group is None or name not in group.known:
        return ContractRow(name, Assurance.UNENFORCEABLE, mechanism, reason=_NO_GROUP)
    value: int | None = getattr(group, name)
    if value is None:
        return ContractRow(name, Assurance.UNENFORCEABLE, mechanism, "none", "no limit is in force; it is put back")
    return ContractRow(name, Assurance.ENFORCED, mechanism, shown(value))


def _gvisor_pids(evidence: Evidence) -> ContractRow:
    """The cgroup's limit holds gVisor's threads, however many processes it has on its kernel."""
    row = _in_group(evidence, "pids", lambda threads: f"{threads} threads")
    reason = row.reason or _GVISOR_PIDS_REASON
    return replace(row, state=Assurance.UNENFORCEABLE, mechanism=f"{row.mechanism}, on gVisor's threads", reason=reason)


def _group_file(evidence: Evidence, name: str) -> str:
    version = evidence.cgroup_version
    return f"cgroup v{version} {limit_file(name, version)}" if version else "cgroup"


def _swap(evidence: Evidence) -> ContractRow:
    group = evidence.group
    mechanism = _group_file(evidence, "swap")
    if group is not None and group.swap == 0:
        return ContractRow("swap", Assurance.ENFORCED, mechanism, "0")
    if not machine_swaps():
        return ContractRow("swap", Assurance.ENFORCED, "the machine has no swap", "0")
    if group is None or "swap" not in group.known:
        why = _NO_GROUP if group is None else "the kernel does not count swap (boot with swapaccount=1)"
        return ContractRow("swap", Assurance.UNENFORCEABLE, mechanism, reason=why)
    value = "none" if group.swap is None else format_memory(group.swap)
    return ContractRow("swap", Assurance.UNENFORCEABLE, mechanism, value, "memory can be swapped out beyond its limit")


def _disk(evidence: Evidence, spec: SandboxSpec) -> Iterator[ContractRow]:
    if spec.limits.disk is None:
        return
    container = evidence.container
    layers = [layer for layer in (container.upper, *container.volumes) if layer]
    hidden = [layer for layer in layers if not os.access(layer, os.R_OK | os.X_OK)]
    value = format_memory(spec.limits.disk)
    if (hidden or not container.upper) and not spec.filesystem.read_only_root:
        gap = "the writable layer cannot be read by this user: only the workspace is measured"
        yield ContractRow("disk", Assurance.UNENFORCEABLE, "walk of the workspace", value, gap)
        return
    what = "the workspace" if spec.filesystem.read_only_root and not container.volumes else "workspace and layers"
    yield ContractRow("disk", Assurance.MEASURED, f"walk of {what} beside the tick", value)


def _profile(evidence: Evidence, spec: SandboxSpec) -> Iterator[ContractRow]:
    process = evidence.process
    if process is None:
        for limit in ("openFiles", "network", "filesystem", "capabilities", "seccomp", "user"):
            yield ContractRow(limit, Assurance.UNENFORCEABLE, "/proc", reason=_HIDDEN)
        return
    yield _network(evidence, process, spec)
    if evidence.container.gvisor:
        yield from _gvisor_profile(spec)
        return
    if spec.limits.open_files is not None:
        yield _verdict("openFiles", process.open_files == spec.limits.open_files, "RLIMIT_NOFILE", process.open_files)
    yield _filesystem(process, spec)
    if spec.skill is not None:
        read_only = "ro" in process.mounts.get(SKILL_TARGET, frozenset())
        yield _verdict("skill", read_only, f"mount options of {SKILL_TARGET}", "read-only" if read_only else "writable")
    status = process.status
    yield _capabilities(status, spec.capabilities)
    filtered = status.get("Seccomp") == _FILTER_MODE
    yield _verdict("seccomp", filtered, "the engine's default filter", "filter" if filtered else "unconfined")
    yield _user(status.get("Uid", ""), status.get("Gid", ""), spec.user)


def _gvisor_profile(spec: SandboxSpec) -> Iterator[ContractRow]:
    root = "read-only root" if spec.filesystem.read_only_root else "writable root"
    if spec.limits.open_files is not None:
        yield ContractRow("openFiles", Assurance.ENFORCED, _GVISOR, str(spec.limits.open_files), _GVISOR_REASON)
    yield ContractRow("filesystem", Assurance.ENFORCED, _GVISOR, root, _GVISOR_REASON)
    if spec.skill is not None:
        yield ContractRow("skill", Assurance.ENFORCED, _GVISOR, "read-only", _GVISOR_REASON)
    added = ", ".join(spec.capabilities) or "none"
    yield ContractRow("capabilities", Assurance.ENFORCED, _GVISOR, added, _GVISOR_REASON)
    yield ContractRow("seccomp", Assurance.ENFORCED, _GVISOR, "no system call reaches the machine's kernel", "")
    yield ContractRow("user", Assurance.ENFORCED, _GVISOR, spec.user, _GVISOR_REASON)


def _capabilities(status: Mapping[str, str], added: Sequence[str]) -> ContractRow:
    """None beyond those given back, in any of its sets."""
    held = 0
    for name in _CAPABILITY_SETS:
        held |= int(status.get(name, "-1"), 16)
    kept = not held & ~mask_of(added) and status.get("NoNewPrivs") == "1"
    mechanism = "cap-drop ALL, no_new_privs" + (", these given back" if added else "")
    return _verdict("capabilities", kept, mechanism, (", ".join(added) or "none") if kept else f"{held:x}")


def _network(evidence: Evidence, process: LiveProcess, spec: SandboxSpec) -> ContractRow:
    others = sorted(process.interfaces - {"lo"})
    if spec.network.mode is NetworkMode.NONE:
        value = "none" if not others else ", ".join(others)
        return _verdict("network", not others, "a network namespace with loopback only", value)
    mechanism = "a bridge of its namespace's own, closed between containers and to link-local addresses"
    if evidence.bridge_gap:
        return ContractRow("network", Assurance.UNENFORCEABLE, mechanism, "bridge", evidence.bridge_gap)
    return ContractRow("network", Assurance.ENFORCED, mechanism, "bridge")


def _filesystem(process: LiveProcess, spec: SandboxSpec) -> ContractRow:
    loose = [
        target for target in spec.filesystem.tmpfs if not process.mounts.get(target, frozenset()) >= _TMPFS_OPTIONS
    ]
    if loose:
        return _verdict("filesystem", False, "mount options", f"{', '.join(loose)} may execute files")
    if not spec.filesystem.read_only_root:
        reason = "spec.filesystem.readOnlyRoot is false: what is written counts as disk"
        return ContractRow("filesystem", Assurance.MEASURED, "walk beside the tick", "writable root", reason)
    read_only = "ro" in process.mounts.get("/", frozenset())
    return _verdict("filesystem", read_only, "mount options", "read-only root" if read_only else "writable root")


def _user(uids: str, gids: str, wanted: str) -> ContractRow:
    """Real, effective, saved and file-system ids must all be the wanted one."""
    uid, _, gid = wanted.partition(":")
    kept = set(uids.split()) == {uid} and set(gids.split()) == {gid or uid}
    value = f"{(uids.split() or ['?'])[0]}:{(gids.split() or ['?'])[0]}"
    return _verdict("user", kept, "the engine's user setting", value)


def _verdict(limit: str, kept: bool, mechanism: str, value: object) -> ContractRow:
    if kept:
        return ContractRow(limit, Assurance.ENFORCED, mechanism, str(value))
    return ContractRow(limit, Assurance.UNENFORCEABLE, mechanism, str(value), "the live container is not as asked for")


def _because(row: ContractRow, reason: str) -> ContractRow:
    if row.reason or not reason:
        return row
    return ContractRow(row.limit, row.state, row.mechanism, row.value, reason)
