"""To copy beside your own tests: one of your skills, in both modes.

    SKILL=path/to/skill.md python -m pytest test_both_modes.py

Where there is no Docker engine the tests of containers are skipped, and say why.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller import ContainerConfig, ResourceLimits, SandboxBuilder
from controller.skill import Tool, ToolType, parse_skill

SKILL = Path(os.environ.get("SKILL", Path(__file__).with_name("simple_skill.md")))
LIMITS = ContainerConfig(resource_limits=ResourceLimits(memory="256m", cpus=1.0, pids_limit=64))
MODES = ["directory", "container"]


@pytest.fixture
def builder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SandboxBuilder]:
    """One for the mode that the test names; what it builds is gone afterwards."""
    try:
        made = SandboxBuilder(tmp_path / "sandboxes", isolation_mode=request.param, container_config=LIMITS)
    except RuntimeError as exc:
        pytest.skip(str(exc))
    with made:
        yield made


def built(builder: SandboxBuilder) -> str:
    """A sandbox of the skill, with `run_command` whether or not the skill names it."""
    skill = parse_skill(SKILL).definition
    if skill.get_tool_by_name("run_command") is None:
        skill.tools.append(Tool("run_command", ToolType.CODE_EXECUTION, "Run a command"))
    return builder.build_from_skill_definition(skill)


def shell(builder: SandboxBuilder, sandbox_id: str, line: str) -> tuple[int, str]:
    """The status and output of a line that runs inside."""
    answer = builder.execute_in_sandbox(sandbox_id, "run_command", command=line, timeout=20)
    return answer["exit_code"], answer["stdout"]


@pytest.mark.parametrize("builder", MODES, indirect=True)
def test_the_skill_is_built_and_its_tools_are_there(builder: SandboxBuilder) -> None:
    sandbox_id = builder.build_from_skill_file(SKILL)
    info = builder.get_sandbox_info(sandbox_id)
    assert info is not None
    assert info["status"] == "running"
    assert builder.list_unavailable_tools(sandbox_id) == {}


@pytest.mark.parametrize("builder", MODES, indirect=True)
def test_commands_work_in_the_workspace(builder: SandboxBuilder) -> None:
    sandbox_id = built(builder)
    assert shell(builder, sandbox_id, "echo hello > note.txt && cat note.txt") == (0, "hello\n")


@pytest.mark.parametrize("builder", MODES, indirect=True)
def test_nothing_leads_out_of_the_workspace(builder: SandboxBuilder) -> None:
    sandbox_id = built(builder)
    assert shell(builder, sandbox_id, "ln -s /etc out")[0] == 0
    with pytest.raises((ValueError, RuntimeError)):
        builder.execute_in_sandbox(sandbox_id, "read_file", file_path="out/passwd")


@pytest.mark.parametrize("builder", ["container"], indirect=True)
def test_a_container_reaches_no_network(builder: SandboxBuilder) -> None:
    sandbox_id = built(builder)
    assert shell(builder, sandbox_id, "ls /sys/class/net") == (0, "lo\n")


@pytest.mark.parametrize("builder", ["container"], indirect=True)
def test_a_container_keeps_within_its_memory_and_the_error_names_the_limit(builder: SandboxBuilder) -> None:
    sandbox_id = built(builder)
    with pytest.raises(RuntimeError, match="memory"):
        shell(builder, sandbox_id, "head -c 1000000000 /dev/zero | tail")


@pytest.mark.parametrize("builder", ["container"], indirect=True)
def test_files_survive_the_move_both_ways(builder: SandboxBuilder) -> None:
    sandbox_id = built(builder)
    shell(builder, sandbox_id, "echo kept > note.txt")
    for mode in ("directory", "container"):
        builder.migrate(sandbox_id, isolation_mode=mode)
        assert shell(builder, sandbox_id, "cat note.txt") == (0, "kept\n")


@pytest.mark.parametrize("builder", MODES, indirect=True)
def test_nothing_is_left_behind(builder: SandboxBuilder) -> None:
    sandbox_id = builder.build_from_skill_file(SKILL)
    info = builder.get_sandbox_info(sandbox_id)
    assert info is not None
    assert builder.cleanup(sandbox_id)
    assert builder.get_sandbox_info(sandbox_id) is None
    assert not Path(info["sandbox_path"]).exists()
