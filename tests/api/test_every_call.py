"""Every call of the Python API, in both modes, on a real engine and real directories."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from controller import ContainerConfig, SandboxBuilder
from controller.model.errors import SandkeeperError
from controller.skill.definition import SkillDefinition, Tool, ToolSandbox, ToolType
from controller.tools.registry import ToolRegistry
from tests.api.conftest import MakeBuilder, small

BUILT_IN = ["read_file", "write_file", "list_files", "execute_code", "run_command", "codebase_search"]


def test_a_skill_file_becomes_a_running_sandbox(builder: SandboxBuilder, mode: str, skill: Path, base: Path) -> None:
    id = builder.build_from_skill_file(str(skill))
    assert str(UUID(id)) == id
    info = builder.get_sandbox_info(id)
    assert info is not None
    container_id = info.pop("container_id", "")
    assert info == {
        "sandbox_id": id,
        "skill_name": "Simple Test Skill",
        "skill_description": "Reads and writes.",
        "sandbox_path": str(base / id),
        "workspace_path": str(base / "workspaces" / id),
        "tools": BUILT_IN,
        "status": "running",
        "isolation_mode": mode,
    }
    assert bool(container_id) is (mode == "container")
    assert Path(info["sandbox_path"], "workspace").resolve() == Path(info["workspace_path"])


def test_tools_work_on_one_and_the_same_workspace(builder: SandboxBuilder, skill: Path) -> None:
    id = builder.build_from_skill_file(skill)

    def run(tool: str, **arguments: Any) -> Any:
        return builder.execute_in_sandbox(id, tool, **arguments)

    written = run("write_file", file_path="notes/a.txt", content="hello\n")
    assert Path(written).read_text() == "hello\n"
    assert run("read_file", file_path="notes/a.txt") == "hello\n"
    assert run("list_files", directory_path=".") == ["notes"]
    done = run("execute_code", code="print(open('notes/a.txt').read().upper())\nopen('b.txt', 'w').write('b')")
    assert (done["exit_code"], done["stdout"]) == (0, "HELLO\n\n")
    assert run("read_file", file_path="b.txt") == "b"
    shell = run("run_command", command="echo more >> notes/a.txt && cat notes/a.txt; exit 3")
    assert (shell["exit_code"], shell["stdout"]) == (3, "hello\nmore\n")
    assert run("codebase_search", pattern="mor+e", path="notes") == ["notes/a.txt:2:more"]


def test_nothing_outside_the_workspace_can_be_had(builder: SandboxBuilder, skill: Path) -> None:
    id = builder.build_from_skill_file(skill)
    builder.execute_in_sandbox(id, "run_command", command="ln -s /etc out")
    for path in ("../../instance", "/etc/passwd", "out/passwd"):
        with pytest.raises(RuntimeError, match="read_file failed"):
            builder.execute_in_sandbox(id, "read_file", file_path=path)


def test_a_tool_that_fails_raises_with_its_cause(builder: SandboxBuilder, skill: Path) -> None:
    id = builder.build_from_skill_file(skill)
    with pytest.raises(RuntimeError, match=r"missing\.txt") as raised:
        builder.execute_in_sandbox(id, "read_file", file_path="missing.txt")
    assert isinstance(raised.value, SandkeeperError)
    assert raised.value.__cause__ is not None


def test_an_unknown_sandbox_is_not_found(builder: SandboxBuilder) -> None:
    for id in (str(uuid4()), "nonsense", "../..", ""):
        assert builder.get_sandbox_info(id) is None
        assert builder.cleanup(id) is False
        with pytest.raises(ValueError, match="not found"):
            builder.execute_in_sandbox(id, "read_file", file_path="a")
        with pytest.raises(ValueError, match="not found"):
            builder.list_tools(id)
        with pytest.raises(ValueError, match="not found"):
            builder.migrate(id, "directory")


def test_a_tool_that_the_skill_does_not_name_or_nobody_has_is_not_available(
    builder: SandboxBuilder, skill: Path
) -> None:
    id = builder.build_from_skill_file(skill)
    assert builder.list_tools(id) == BUILT_IN
    assert list(builder.list_unavailable_tools(id)) == ["web_search"]
    for name in ("web_search", "nonsense"):
        with pytest.raises(ValueError, match=f"{name} is not available"):
            builder.execute_in_sandbox(id, name)


def test_a_definition_brings_its_own_tools(builder: SandboxBuilder) -> None:
    def count(sandbox: ToolSandbox, word: str) -> tuple[str, int]:
        said = sandbox.exec(["sh", "-c", f"printf %s {word} | wc -c"]).stdout
        return sandbox.isolation_mode, int(said)

    tools = [Tool("count", ToolType.CUSTOM, "Counts", implementation=count), Tool("list_files", ToolType.FILESYSTEM)]
    id = builder.build_from_skill_definition(SkillDefinition("counting", "Counts letters", "Count.", tools))
    assert builder.list_tools(id) == ["count", "list_files"]
    assert builder.execute_in_sandbox(id, "count", word="four") == (builder.isolation_mode, 4)
    with pytest.raises(ValueError, match="does not name it"):
        builder.execute_in_sandbox(id, "read_file", file_path="a")
    with pytest.raises(RuntimeError, match="count failed"):
        builder.execute_in_sandbox(id, "count", letters="four")


def test_a_registered_tool_serves_every_skill_that_names_it(make_builder: MakeBuilder, mode: str, skill: Path) -> None:
    tools = ToolRegistry.with_builtin()
    tools.register(Tool("web_search", ToolType.WEB_SEARCH, implementation=lambda _, query: [query]))
    builder = make_builder(mode, tools=tools)
    id = builder.build_from_skill_file(skill)
    assert builder.execute_in_sandbox(id, "web_search", query="q") == ["q"]
    assert builder.list_unavailable_tools(id) == {}


def test_a_skill_that_names_no_tool_has_the_built_in_ones(builder: SandboxBuilder) -> None:
    id = builder.build_from_skill_definition(SkillDefinition("plain", "Plain.", "Be plain."))
    assert sorted(builder.list_tools(id)) == sorted(BUILT_IN)


def test_cleaning_up_leaves_nothing(builder: SandboxBuilder, skill: Path, base: Path) -> None:
    id = builder.build_from_skill_file(skill)
    builder.execute_in_sandbox(id, "write_file", file_path="a", content="a")
    builder.execute_in_sandbox(id, "run_command", command="sleep 1000 > /dev/null 2>&1 &")
    assert builder.cleanup(id) is True
    assert builder.get_sandbox_info(id) is None
    assert builder.cleanup(id) is False
    assert [path for path in base.rglob("*") if id in path.name] == []


def test_all_are_cleaned_up_whichever_builder_built_them(make_builder: MakeBuilder, mode: str, skill: Path) -> None:
    one, other = make_builder(mode), make_builder(mode)
    ids = [one.build_from_skill_file(skill), other.build_from_skill_file(skill)]
    assert one.cleanup_all() == 2
    assert [other.get_sandbox_info(id) for id in ids] == [None, None]
    assert other.cleanup_all() == 0


def test_a_block_cleans_up_what_was_built_in_it(make_builder: MakeBuilder, mode: str, skill: Path) -> None:
    earlier = make_builder(mode)
    stays = earlier.build_from_skill_file(skill)
    with make_builder(mode) as builder:
        goes = builder.build_from_skill_file(skill)
        assert builder.get_sandbox_info(stays) is not None
    assert earlier.get_sandbox_info(goes) is None
    assert earlier.get_sandbox_info(stays) is not None


def test_a_skill_that_is_not_there_or_cannot_be_read_is_told(builder: SandboxBuilder, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        builder.build_from_skill_file(tmp_path / "missing.md")
    (tmp_path / "noise.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=re.escape("noise.md")):
        builder.build_from_skill_file(tmp_path / "noise.md")
    assert builder.cleanup_all() == 0


def test_a_timeout_ends_a_command_and_its_children(builder: SandboxBuilder, skill: Path) -> None:
    id = builder.build_from_skill_file(skill)
    done = builder.execute_in_sandbox(id, "run_command", command="sleep 100 & sleep 100", timeout=0.5)
    assert done["timed_out"] is True
    left = builder.execute_in_sandbox(id, "run_command", command="cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "sleep 100" not in left["stdout"].replace("sleep 1000", "")


def test_environment_variables_reach_the_tools(make_builder: MakeBuilder, mode: str, skill: Path) -> None:
    builder = make_builder(mode)
    config = replace(small(), environment_vars={"GREETING": "good day"})
    id = builder.build_from_skill_file(skill, config)
    assert builder.execute_in_sandbox(id, "run_command", command="echo $GREETING")["stdout"] == "good day\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"isolation_mode": "vm"}, "isolation_mode 'vm' is not known"),
        ({"isolation_mode": "directory", "fallback": "vm"}, "fallback 'vm' is not known"),
        ({"isolation_mode": "directory", "container_config": {}}, "must be a ContainerConfig"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(arguments: dict[str, Any], words: str, base: Path) -> None:
    with pytest.raises(ValueError, match=words):
        SandboxBuilder(base, **arguments)


def test_a_folder_that_cannot_be_used_is_told() -> None:
    with pytest.raises(RuntimeError, match="cannot use /proc/no"):
        SandboxBuilder("/proc/no", "directory")


def test_a_directory_refuses_what_only_a_container_has(make_builder: MakeBuilder, skill: Path) -> None:
    builder = make_builder("directory")
    for refused, words in (
        (ContainerConfig(volumes={"/tmp": {"bind": "/data"}}), "volumes: a directory sandbox has no mounts"),
        (ContainerConfig(network_mode="bridge"), "network_mode: a directory sandbox has no network"),
        (ContainerConfig(working_dir="/app"), "working_dir: /app lies outside"),
    ):
        with pytest.raises(ValueError, match=words):
            builder.build_from_skill_file(skill, refused)
    assert builder.cleanup_all() == 0


def test_nothing_is_printed_by_itself(builder: SandboxBuilder, skill: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        id = builder.build_from_skill_file(skill)
        builder.execute_in_sandbox(id, "run_command", command="true")
        builder.cleanup(id)
    assert capsys.readouterr() == ("", "")
