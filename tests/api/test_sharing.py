"""One folder of sandboxes for several builders, threads and processes at once."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from controller import SandboxBuilder
from tests.api.conftest import MakeBuilder

BUILD = """
import sys
from controller import ContainerConfig, ResourceLimits, SandboxBuilder
base, mode, skill, count = sys.argv[1:]
builder = SandboxBuilder(base, mode, ContainerConfig(resource_limits=ResourceLimits("128m", 1.0, 64)))
for number in range(int(count)):
    id = builder.build_from_skill_file(skill)
    builder.execute_in_sandbox(id, "write_file", file_path="mine", content=id)
    print(id, flush=True)
"""
CLEAN = """
import sys
from controller import SandboxBuilder
builder = SandboxBuilder(sys.argv[1], sys.argv[2])
print(sum(builder.cleanup(id) for id in sys.argv[3:]))
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def output_of(process: subprocess.Popen[str]) -> list[str]:
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    return out.split()


def test_a_fresh_process_finds_what_an_earlier_one_built(
    builder: SandboxBuilder, mode: str, skill: Path, base: Path
) -> None:
    (id,) = output_of(start(BUILD, base, mode, skill, 1))
    info = builder.get_sandbox_info(id)
    assert info is not None
    assert (info["skill_name"], info["status"], info["isolation_mode"]) == ("Simple Test Skill", "running", mode)
    assert builder.execute_in_sandbox(id, "run_command", command="cat mine")["stdout"] == id
    assert output_of(start(CLEAN, base, mode, id)) == ["1"]
    assert builder.get_sandbox_info(id) is None


def test_processes_and_threads_build_and_work_beside_each_other(
    builder: SandboxBuilder, mode: str, skill: Path, base: Path
) -> None:
    others = [start(BUILD, base, mode, skill, 2) for _ in range(2)]

    def work(number: int) -> str:
        id = builder.build_from_skill_file(skill)
        builder.execute_in_sandbox(id, "write_file", file_path="mine", content=id)
        assert builder.execute_in_sandbox(id, "run_command", command="cat mine")["stdout"] == id
        return id

    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(work, range(4)))
    ids += [id for other in others for id in output_of(other)]
    assert len(set(ids)) == 8
    assert all(builder.execute_in_sandbox(id, "read_file", file_path="mine") == id for id in ids)
    assert builder.cleanup_all() == 8


def test_one_that_is_removed_at_once_by_many_is_removed_once(
    builder: SandboxBuilder, mode: str, skill: Path, base: Path
) -> None:
    id = builder.build_from_skill_file(skill)
    other = start(CLEAN, base, mode, id)
    with ThreadPoolExecutor(4) as pool:
        removed = list(pool.map(builder.cleanup, [id] * 4))
    assert removed.count(True) + int(output_of(other)[0]) == 1


def test_many_tools_at_once_that_find_it_down_bring_it_up_once(
    builder: SandboxBuilder, mode: str, skill: Path, base: Path
) -> None:
    id = builder.build_from_skill_file(skill)
    _end(builder, id)

    def ask(number: int) -> Any:
        return builder.execute_in_sandbox(id, "run_command", command=f"echo {number}")["stdout"]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == ["0\n", "1\n", "2\n", "3\n"]


@pytest.mark.docker
def test_two_builders_one_for_each_mode_share_a_folder(make_builder: MakeBuilder, skill: Path, base: Path) -> None:
    containers, directories = make_builder("container"), make_builder("directory")
    old, new = directories.build_from_skill_file(skill), containers.build_from_skill_file(skill)
    for builder in (containers, directories):
        modes = [(builder.get_sandbox_info(id) or {})["isolation_mode"] for id in (old, new)]
        assert modes == ["directory", "container"]
        for id in (old, new):
            assert builder.execute_in_sandbox(id, "run_command", command="echo on")["stdout"] == "on\n"
    moved = directories.migrate(old, "container")
    assert (moved["isolation_mode"], moved["status"]) == ("container", "running")
    assert directories.cleanup(old)
    assert containers.cleanup(new)


def test_what_is_kept_is_plain_json_of_its_own(builder: SandboxBuilder, skill: Path, base: Path) -> None:
    id = builder.build_from_skill_file(skill)
    path = base / id / "sandbox.json"
    assert path.stat().st_mode & 0o777 == 0o600
    kept = json.loads(path.read_text())
    assert (kept["version"], kept["sandbox"]["id"]) == (1, id)
    whole = path.read_text()
    path.write_text(whole[:-20])
    with pytest.raises(RuntimeError, match="is damaged"):
        builder.get_sandbox_info(id)
    path.write_text(whole)
    assert builder.cleanup(id)


def _end(builder: SandboxBuilder, id: str) -> None:
    """Behind the builder's back."""
    kept = builder._sandboxes.find(id)
    assert kept.record is not None
    builder._sandboxes._runtimes[kept.record.runtime].kill(kept.record.instance_id)
