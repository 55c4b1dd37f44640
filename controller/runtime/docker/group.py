"""A container's own control group on this machine."""

from __future__ import annotations

from controller.runtime.cgroup.hierarchy import CgroupPaths, Hierarchy


def group_of(hierarchy: Hierarchy, id: str, pid: int) -> CgroupPaths | None:
    """The folders of the group of a container's first process; None where they are not seen from here.

    The engine puts a container's id into its group's name: a pid that means another process here (an engine in another
    pid namespace, a pid used again) is none of the container's.
    """
    paths = hierarchy.paths_of(pid)
    if paths is None:
        return None
    folders = paths.folders()
    return paths if folders and all(id in folder for folder in folders) else None
