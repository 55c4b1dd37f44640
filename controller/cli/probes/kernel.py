"""What the kernel grants: control groups, inotify watches, open files."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from controller.cli.probes.finding import Finding, Setup, fail, ok, warn
from controller.runtime.cgroup.hierarchy import Hierarchy
from controller.runtime.cgroup.root import CgroupRoot

_WANTED: Final = ("memory", "cpu", "pids", "freezer")
_FEW_WATCHES: Final = 8192
_FEW_INSTANCES: Final = 128
_NEARLY: Final = 0.9
# 1,000 sandboxes keep up to six descriptors each.
_FEW_FILES: Final = 8192
_INOTIFY: Final = Path("/proc/sys/fs/inotify")


def probe_cgroups(_setup: Setup) -> Iterator[Finding]:
    """Which version, and in which controllers this user can have groups: what they lack is measured, not enforced."""
    hierarchy = Hierarchy.detect()
    if hierarchy.version == 0:
        yield fail("cgroups", "no control groups are mounted; usage cannot be read", "mount them (systemd does)")
        return
    writable = CgroupRoot("doctor", hierarchy).writable_controllers()
    lacking = [controller for controller in _WANTED if controller not in writable]
    if lacking:
        yield warn(
            "cgroups",
            f"v{hierarchy.version}; no groups of our own for {', '.join(lacking)}:"
            " in directory sandboxes these are measured, not enforced",
            "run as root, or under a service manager that delegates them (systemd: Delegate=yes)",
        )
    else:
        yield ok("cgroups", f"v{hierarchy.version}, writable: {', '.join(_WANTED)}")


def probe_inotify(_setup: Setup) -> Iterator[Finding]:
    """How many watches and instances this user may have and has."""
    try:
        watches, instances = (int((_INOTIFY / name).read_text()) for name in ("max_user_watches", "max_user_instances"))
    except (OSError, ValueError) as exc:
        yield warn("inotify", f"its limits cannot be read: {exc}", "changes are then seen by rescans only")
        return
    used_instances, used_watches = _inotify_use(os.geteuid())
    told = f"{used_watches} of {watches} watches and {used_instances} of {instances} instances in use"
    few = watches < _FEW_WATCHES or instances < _FEW_INSTANCES
    if few or used_watches > _NEARLY * watches or used_instances > _NEARLY * instances:
        advice = "sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=1024 (and in /etc/sysctl.d)"
        yield warn("inotify", f"{told}; without a watch, changes are seen by rescans only", advice)
    else:
        yield ok("inotify", told)


def probe_open_files(_setup: Setup) -> Iterator[Finding]:
    """The hard limit, which the daemon raises its soft one to."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FEW_FILES:
        advice = "ulimit -Hn 65536 before the start (systemd: LimitNOFILE=65536)"
        yield warn("open files", f"at most {hard}: enough for {hard // 6} sandboxes", advice)
    else:
        yield ok("open files", "unlimited" if hard == resource.RLIM_INFINITY else f"up to {hard}")


def _inotify_use(uid: int) -> tuple[int, int]:
    """Instances and watches of a user's processes, as far as /proc shows them: proc(5), fdinfo."""
    instances = watches = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid != uid:
                continue
            held = [file for file in (process / "fd").iterdir() if str(file.readlink()) == "anon_inode:inotify"]
            instances += len(held)
            watches += sum((process / "fdinfo" / file.name).read_text().count("inotify wd:") for file in held)
        except OSError:
            continue  # it ended meanwhile, or hides its files from us
    return instances, watches
