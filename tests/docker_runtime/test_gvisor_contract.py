"""What may be said of gVisor's processes: the machine's kernel sees only gVisor's own threads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.model.observed import Assurance, ContractRow
from controller.runtime.cgroup.limits import CgroupLimits
from controller.runtime.docker.container import Container, container_of
from controller.runtime.docker.contract import Evidence, contract_rows
from controller.runtime.docker.profile import counted_pids, engine_pids
from tests.docker_runtime.bench import desired

SPEC = {"resources": {"limits": {"memory": "256Mi", "pids": 20}}}
GROUP = CgroupLimits(256 << 20, 0, None, engine_pids(20, gvisor=True), frozenset({"memory", "swap", "pids"}))


def container(runtime: str) -> Container:
    return container_of({"Id": "c1", "Name": "/web", "HostConfig": {"Runtime": runtime}, "State": {}, "Config": {}})


def pids_row(group: CgroupLimits | None, runtime: str = "runsc") -> ContractRow:
    evidence = Evidence(container(runtime), group, 1, None, 2000, "")
    return {row.limit: row for row in contract_rows(evidence, desired("web", SPEC).spec)}["pids"]


def test_a_limit_on_gvisors_threads_is_no_limit_on_the_sandboxs_processes() -> None:
    row = pids_row(GROUP)
    assert (row.state, row.mechanism, row.value) == (
        Assurance.UNENFORCEABLE,
        "cgroup v1 pids.max, on gVisor's threads",
        "384 threads",
    )
    assert "reaching it ends the sandbox" in row.reason


@pytest.mark.parametrize("group", [None, replace(GROUP, pids=None)])
def test_a_limit_on_its_threads_that_is_not_there_is_said_to_be_missing(group: CgroupLimits | None) -> None:
    row = pids_row(group)
    assert (row.state, "threads" in row.value) == (Assurance.UNENFORCEABLE, False)


def test_on_the_machines_own_kernel_it_is_enforced() -> None:
    row = pids_row(replace(GROUP, pids=20), "runc")
    assert (row.state, row.value) == (Assurance.ENFORCED, "20")


@pytest.mark.parametrize(("tasks", "gvisor", "told"), [(240, True, None), (3, False, 3), (None, False, None)])
def test_gvisors_threads_are_not_told_as_processes(tasks: int | None, gvisor: bool, told: int | None) -> None:
    assert counted_pids(tasks, gvisor) == told
