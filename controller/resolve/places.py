"""Where inside a sandbox something may be put: checks of tmpfs and mount targets and of the working folder."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Final

from controller.model.manifest import FieldFault, FieldPath
from controller.model.spec import SandboxSpec

WORKSPACE: Final = "/workspace"
_KERNEL: Final = ("/proc", "/sys", "/dev")


def misplaced(spec: SandboxSpec) -> Iterator[FieldFault]:
    """A fault for each place that the runtime would refuse, or that would cover what has to stay visible."""
    taken: set[str] = set()
    for path, target in _targets(spec):
        fault = _fault(target, spec.working_dir) or ("it is given twice" if target in taken else "")
        if fault:
            yield FieldFault(path, f"{target}: {fault}", "name a folder of its own, such as /data")
        taken.add(target)
    if _below(spec.working_dir, _KERNEL):
        yield FieldFault(("spec", "workingDir"), f"{spec.working_dir} is the kernel's", "work in /workspace")


def _targets(spec: SandboxSpec) -> Iterator[tuple[FieldPath, str]]:
    for target in spec.filesystem.tmpfs:
        yield ("spec", "filesystem", "tmpfs", target), target
    for index, mount in enumerate(spec.filesystem.mounts):
        yield ("spec", "filesystem", "mounts", index, "target"), mount.target


def _fault(target: str, working_dir: str) -> str:
    if target != posixpath.normpath(target) or not target.startswith("/"):
        return "it is not a plain absolute path"
    if target == "/":
        return "it would cover everything"
    if _below(target, _KERNEL):
        return "it is the kernel's"
    if _below(WORKSPACE, (target,)):
        return f"it would cover {WORKSPACE}"
    # To work in the very folder that is put there is an ordinary wish; a folder below it would be gone.
    return f"it would cover {working_dir}" if working_dir.startswith(f"{target}/") else ""


def _below(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)
