"""execute_code and run_command, in running sandboxes of both modes; and files seen from inside and outside."""

from __future__ import annotations

import shutil
import time
from statistics import median
from typing import Any

import pytest

from controller.model.errors import ToolError
from controller.runtime.directory.launch import PATH
from tests.tools.sandboxes import Real

SLEEPERS = r"""
for file in /proc/[0-9]*/cmdline; do tr '\0' ' ' < $file; echo; done 2>/dev/null | grep -c '^sleep 987654' || true
"""


def output(answer: dict[str, Any]) -> str:
    """What a command said; it must have succeeded."""
    assert (answer["exit_code"], answer["stderr"]) == (0, "")
    assert not answer["timed_out"]
    return str(answer["stdout"])


def test_python_code_runs_in_the_workspace(sandbox: Real) -> None:
    sandbox.run("write_file", file_path="helper.py", content="ANSWER = 42\n")
    code = (
        "import helper, sys\nprint(helper.ANSWER, 'é', __name__)\ntry:\n    input()\nexcept EOFError:\n    print('eof')"
    )
    assert output(sandbox.run("execute_code", code=code)) == "42 é __main__\neof\n"
    failed = sandbox.run("execute_code", code="print('before')\n1/0", language="Python")
    assert (failed["exit_code"], failed["stdout"]) == (1, "before\n")
    assert "line 2, in <module>" in failed["stderr"]
    assert failed["stderr"].endswith("ZeroDivisionError: division by zero\n")
    for status in (124, 126, 127):
        ended = sandbox.run("execute_code", code=f"import sys; sys.exit({status})")
        assert (ended["exit_code"], ended["timed_out"]) == (status, False)


def test_shell_code_runs_and_reads_none_of_itself(sandbox: Real) -> None:
    code = "cat\nfor word in 'a b' c; do echo \"[$word]\"; done\nexit 3"
    for language in ("bash", "sh"):
        answer = sandbox.run("execute_code", code=code, language=language)
        assert (answer["exit_code"], answer["stdout"], answer["stderr"]) == (3, "[a b]\n[c]\n", "")


def test_large_code_is_fed_whole(sandbox: Real) -> None:
    code = f"text = '{'é' * 500_000}'\nprint(len(text))\n"
    assert output(sandbox.run("execute_code", code=code)) == "500000\n"


def test_javascript_runs_where_node_is_there(directory_sandbox: Real) -> None:
    call = {"code": "console.log([1, 2].map(x => x * 21).join())", "language": "javascript"}
    if shutil.which("node", path=PATH):
        assert output(directory_sandbox.run("execute_code", **call)) == "21,42\n"
        return
    with pytest.raises(ToolError, match=r"no interpreter of javascript is in the sandbox \(neither node nor nodejs"):
        directory_sandbox.run("execute_code", **call)


@pytest.mark.docker
@pytest.mark.parametrize(
    ("language", "programs"), [("python", "python3 nor python"), ("javascript", "node"), ("bash", "bash")]
)
def test_an_interpreter_that_is_not_in_the_image_is_named(busybox_sandbox: Real, language: str, programs: str) -> None:
    with pytest.raises(ToolError, match=f"no interpreter of {language} is in the sandbox .*{programs}.*use an image"):
        busybox_sandbox.run("execute_code", code="1", language=language)
    assert output(busybox_sandbox.run("execute_code", code="echo here", language="sh")) == "here\n"


def test_a_command_is_a_line_or_a_list_of_words(sandbox: Real) -> None:
    assert output(sandbox.run("run_command", command="echo 'a  b' | tr a-z A-Z; echo $((6*7))")) == "A  B\n42\n"
    assert output(sandbox.run("run_command", command=["echo", "$HOME", "a  b"])) == "$HOME a  b\n"
    answer = sandbox.run("run_command", command="echo out; echo err >&2; exit 7")
    assert answer == {"exit_code": 7, "stdout": "out\n", "stderr": "err\n", "truncated": False, "timed_out": False}
    assert sandbox.run("run_command", command="no-such-program")["exit_code"] == 127
    assert sandbox.run("run_command", command="printf 'caf\\351'")["stdout"] == "caf�"


def test_a_timeout_ends_the_whole_tree(sandbox: Real) -> None:
    script = "echo begun; sleep 987654 & (setsid sleep 987654 &) ; sleep 987654"
    began = time.monotonic()
    answer = sandbox.run("run_command", command=script, timeout=1)
    assert time.monotonic() - began < 10
    assert (answer["exit_code"], answer["timed_out"], answer["stdout"]) == (124, True, "begun\n")
    assert output(sandbox.run("run_command", command=SLEEPERS)) == "0\n"
    code = "import subprocess\nprint('begun')\nsubprocess.run(['sleep', '987654'])"
    answer = sandbox.run("execute_code", code=code, timeout=1.0)
    assert (answer["exit_code"], answer["timed_out"], answer["stdout"]) == (124, True, "begun\n")
    assert output(sandbox.run("run_command", command=SLEEPERS)) == "0\n"


def test_output_is_capped_and_says_so(sandbox: Real) -> None:
    answer = sandbox.run("run_command", command="echo first; yes | head -c 50000000; echo last; echo short >&2")
    assert answer["truncated"]
    assert answer["stdout"].startswith("first\ny\n")
    assert answer["stdout"].endswith("y\nlast\n")
    assert "\n[… 49900011 bytes were left out here …]\n" in answer["stdout"]
    assert len(answer["stdout"]) < 100_100
    assert answer["stderr"] == "short\n"


@pytest.mark.parametrize(
    ("tool", "arguments", "why"),
    [
        ("run_command", {"command": ""}, "no command"),
        ("run_command", {"command": []}, "no command"),
        ("run_command", {"command": 7}, "text or a list"),
        ("run_command", {"command": ["echo", 7]}, "text or a list"),
        ("run_command", {"command": "a\0b"}, "NUL"),
        ("run_command", {"command": "x" * 200_000}, "write it to a file"),
        ("run_command", {"command": "true", "timeout": 0}, "a timeout is more than 0"),
        ("run_command", {"command": "true", "timeout": "10"}, "a timeout is more than 0"),
        ("run_command", {"command": "true", "timeout": float("nan")}, "a timeout is more than 0"),
        ("run_command", {"command": "true", "timeout": 1e9}, "at most 3600 seconds"),
        ("execute_code", {"code": "x", "language": "cobol"}, "use one of python"),
        ("execute_code", {"code": "x", "language": None}, "use one of python"),
        ("execute_code", {"code": 7}, "code is a text"),
        ("execute_code", {"code": "\ud800"}, "code is a text"),
        ("execute_code", {"code": "x" * 200_000, "language": "sh"}, "write it to a file"),
        ("execute_code", {"code": "x" * (9 << 20)}, "write it to files"),
        ("execute_code", {}, "execute_code takes code, language, timeout"),
    ],
)
def test_what_cannot_be_run_is_an_error_that_tells_what_can(
    directory_sandbox: Real, tool: str, arguments: dict[str, Any], why: str
) -> None:
    with pytest.raises(ToolError) as caught:
        directory_sandbox.run(tool, **arguments)
    assert why in str(caught.value)


def test_files_are_the_same_from_inside_and_outside(sandbox: Real) -> None:
    written = sandbox.run("write_file", file_path="data/in.txt", content="from outside\n")
    assert written == f"{sandbox.workspace_path}/data/in.txt"
    script = (
        "cat data/in.txt; echo more >> data/in.txt; umask 077; mkdir own; echo mine > own/out.txt; rm -f gone; id -u"
    )
    lines = output(sandbox.run("run_command", command=script)).splitlines()
    assert lines[0] == "from outside"
    uid = str((sandbox.workspace_path / "data/in.txt").stat().st_uid)
    assert lines[1] == uid or sandbox.isolation_mode == "container"
    assert sandbox.run("read_file", file_path="data/in.txt") == "from outside\nmore\n"
    assert sandbox.run("read_file", file_path="own/out.txt") == "mine\n"
    assert sandbox.run("list_files", directory_path=".") == ["data", "own"]
    assert sandbox.run("codebase_search", pattern="m[io].e") == ["data/in.txt:2:more", "own/out.txt:1:mine"]


def test_paths_as_code_inside_sees_them_are_understood(sandbox: Real) -> None:
    inside = output(sandbox.run("run_command", command="pwd")).strip()
    assert sandbox.run("write_file", file_path=f"{inside}/a.txt", content="x") == f"{sandbox.workspace_path}/a.txt"
    assert output(sandbox.run("run_command", command=f"ln -s {inside}/a.txt link; cat {inside}/a.txt")) == "x"
    assert sandbox.run("read_file", file_path="link") == "x"


def test_code_inside_leads_no_tool_out(sandbox: Real) -> None:
    script = "ln -s /etc etc; ln -s /etc/passwd passwd; ln -s / root; mkfifo fifo; ln -s ../.. up"
    assert output(sandbox.run("run_command", command=script)) == ""
    for path in ("passwd", "etc/passwd", "root/etc/passwd", "up", "fifo"):
        with pytest.raises(ToolError, match=r"leads out of the workspace|FIFO"):
            sandbox.run("read_file", file_path=path)
    for path in ("etc/new", "root/tmp/new", "up/new"):
        with pytest.raises(ToolError, match="leads out of the workspace"):
            sandbox.run("write_file", file_path=path, content="x")
    for path in ("etc", "root", "up"):
        with pytest.raises(ToolError, match="leads out of the workspace"):
            sandbox.run("list_files", directory_path=path)


def test_a_file_tool_takes_at_most_five_milliseconds(sandbox: Real) -> None:
    for number in range(10):
        sandbox.run("write_file", file_path=f"src/{number}.py", content="import os\n" * 100)
    calls: dict[str, dict[str, str]] = {
        "write_file": {"file_path": "src/a.txt", "content": "x" * 10_000},
        "read_file": {"file_path": "src/a.txt"},
        "list_files": {"directory_path": "src"},
        "codebase_search": {"pattern": r"needle\d", "path": "src"},
    }
    for tool, arguments in calls.items():
        times = []
        for _ in range(51):
            began = time.perf_counter()
            sandbox.run(tool, **arguments)
            times.append(time.perf_counter() - began)
        assert median(times) <= 0.005, tool


@pytest.mark.root
def test_what_a_tool_writes_is_the_sandboxs_to_change(sandbox: Real) -> None:
    sandbox.run("write_file", file_path="deep/er/a.txt", content="x")
    status, above = (sandbox.workspace_path / "deep/er/a.txt").stat(), sandbox.workspace_path.stat()
    assert (status.st_uid, status.st_gid) == (above.st_uid, above.st_gid)
    assert status.st_uid != 0
    output(sandbox.run("run_command", command="echo y > deep/er/a.txt; chmod 600 deep/er/a.txt; rm -r deep"))
