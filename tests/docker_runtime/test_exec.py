"""Commands run inside: what goes in and comes out, and how surely they end."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from controller.model.errors import ConflictError
from controller.runtime.cgroup.files import read_pids
from controller.runtime.cgroup.hierarchy import Hierarchy
from controller.runtime.docker.exec import DockerExec
from controller.runtime.protocol import ExecRequest
from tests.docker_runtime.bench import Bench, until

pytestmark = pytest.mark.docker


def processes(pid: int | None) -> set[str]:
    """The command lines in the container's cgroup, its own init and sleep left out."""
    assert pid is not None
    paths = Hierarchy.detect().paths_of(pid)
    assert paths is not None
    lines = set()
    for member in read_pids(paths.folders()[0]):
        try:
            lines.add(Path(f"/proc/{member}/cmdline").read_text().replace("\0", " ").strip())
        except OSError:
            continue
    return {line for line in lines if line and "2147483647" not in line}


def test_both_streams_come_apart_and_the_status_is_passed_on(bench: Bench) -> None:
    seen = bench.run()
    session = bench.runtime.exec(seen.id, ExecRequest(("sh", "-c", "echo out; echo err >&2; exit 7")))
    assert set(session.output()) == {("stdout", b"out\n"), ("stderr", b"err\n")}
    assert session.exit_code() == 7
    session.close()
    session.close()


def test_stdin_is_fed_and_then_ends(bench: Bench) -> None:
    seen = bench.run()
    data = bytes(range(256)) * 4096
    session = bench.runtime.exec(seen.id, ExecRequest(("cat",), stdin=data))
    assert b"".join(chunk for _, chunk in session.output()) == data
    assert session.exit_code() == 0


def test_a_command_that_does_not_read_its_stdin_ends_all_the_same(bench: Bench) -> None:
    seen = bench.run()
    session = bench.runtime.exec(seen.id, ExecRequest(("true",), stdin=b"x" * (4 << 20)))
    assert list(session.output()) == []
    assert session.exit_code() == 0


def test_large_output_read_slowly_comes_whole(bench: Bench) -> None:
    seen = bench.run()
    session = bench.runtime.exec(seen.id, ExecRequest(("dd", "if=/dev/zero", "bs=1M", "count=8", "status=none")))
    output, pause = session.output(), threading.Event()
    size = len(next(output)[1])
    pause.wait(2.5)  # longer than any watchdog's patience with a stream that nobody fills
    size += sum(len(chunk) for _, chunk in output)
    assert (size, session.exit_code()) == (8 << 20, 0)


def test_environment_and_working_directory_are_those_of_the_request(bench: Bench) -> None:
    seen = bench.run()
    assert bench.sh(seen.id, "echo $GREETING; pwd", env={"GREETING": "hi"}, working_dir="/tmp") == (0, "hi\n/tmp\n")


@pytest.mark.parametrize(("command", "code"), [("/no/such/command", 127), ("/etc/passwd", 126)])
def test_what_cannot_be_executed_says_so_by_its_status(bench: Bench, command: str, code: int) -> None:
    seen = bench.run()
    session = bench.runtime.exec(seen.id, ExecRequest((command,)))
    assert command in b"".join(chunk for _, chunk in session.output()).decode()
    assert session.exit_code() in (126, 127) if code == 127 else session.exit_code() == code


def test_an_end_by_a_signal_is_128_and_its_number(bench: Bench) -> None:
    seen = bench.run()
    assert bench.sh(seen.id, "kill -9 $$")[0] == 137


def test_a_timeout_kills_the_whole_tree(bench: Bench) -> None:
    """Children, those of another session, and those forked twice out of the family."""
    seen = bench.run()
    script = "sleep 601 & setsid sleep 602 & (setsid sh -c 'sleep 603 & sleep 604' &) ; echo up; sleep 605"
    session = bench.runtime.exec(seen.id, ExecRequest(("sh", "-c", script), timeout=1.0))
    started = bench.clock.monotonic()
    output = session.output()
    assert next(output) == ("stdout", b"up\n")
    until(lambda: len(processes(seen.pid)) >= 5)
    assert list(output) == []
    assert session.exit_code() == 124
    assert bench.clock.monotonic() - started < 4
    until(lambda: processes(seen.pid) == set())
    assert bench.look("web", seen.id).pid == seen.pid


def test_a_timeout_ends_what_forks_without_end(bench: Bench) -> None:
    seen = bench.run(spec={"resources": {"limits": {"pids": 512, "cpu": "1"}}})
    script = "fork() { while :; do sh -c 'sleep 0.02; true' & sleep 0.01; done; }; fork & fork & fork"
    assert bench.sh(seen.id, f"({script}) >/dev/null 2>&1", timeout=0.5)[0] == 124
    until(lambda: processes(seen.pid) == set())


def test_a_timeout_strikes_though_nobody_reads(bench: Bench) -> None:
    seen = bench.run()
    session = bench.runtime.exec(seen.id, ExecRequest(("sh", "-c", "sleep 606"), timeout=0.3))
    until(lambda: processes(seen.pid) == {"sleep 606"} or None, 2)
    until(lambda: processes(seen.pid) == set(), 5)
    assert (list(session.output()), session.exit_code()) == ([], 124)


def test_a_command_within_its_timeout_is_left_alone(bench: Bench) -> None:
    seen = bench.run()
    assert bench.sh(seen.id, "echo done", timeout=30) == (0, "done\n")


def test_closing_kills_what_still_runs(bench: Bench) -> None:
    seen = bench.run()
    session = bench.runtime.exec(seen.id, ExecRequest(("sh", "-c", "echo up; sleep 607 & sleep 608")))
    assert next(session.output()) == ("stdout", b"up\n")
    session.close()
    assert processes(seen.pid) == set()
    assert session.exit_code() == 137


def test_closing_amid_its_first_forks_leaves_none_of_them(bench: Bench) -> None:
    """An engine may not know the pid yet, and a fork that is under way ends after its parent was told to stop."""
    seen = bench.run()
    script = "echo up; " + "sleep 607 & " * 16 + "sleep 608"
    for _ in range(30):
        session = bench.runtime.exec(seen.id, ExecRequest(("sh", "-c", script)))
        assert next(session.output()) == ("stdout", b"up\n")
        session.close()
        assert processes(seen.pid) == set()


def test_a_kill_takes_other_execs_nothing(bench: Bench) -> None:
    seen = bench.run()
    other = bench.runtime.exec(seen.id, ExecRequest(("sh", "-c", "echo up; sleep 1; echo still here")))
    assert next(other.output()) == ("stdout", b"up\n")
    assert bench.sh(seen.id, "sleep 609", timeout=0.2)[0] == 124
    assert other.exit_code() == 0


def test_processes_that_are_not_ours_to_signal_are_killed_from_inside(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the controller is not root and the sandbox has another user."""
    seen = bench.run()
    monkeypatch.setattr("controller.runtime.docker.exec.ExecTree.kill", lambda *_: False)
    code, _ = bench.sh(seen.id, "setsid sleep 610 & (while :; do sleep 0.01; done) & sleep 611", timeout=0.5)
    assert code == 124
    until(lambda: processes(seen.pid) == set())


def test_a_child_that_holds_the_output_open_does_not_hold_up_the_end(bench: Bench) -> None:
    seen = bench.run()
    started = bench.clock.monotonic()
    assert bench.sh(seen.id, "sleep 612 & echo started") == (0, "started\n")
    assert bench.clock.monotonic() - started < 5
    assert processes(seen.pid) == {"sleep 612"}


def test_an_exec_ends_with_its_container(bench: Bench) -> None:
    seen = bench.run()
    session = bench.runtime.exec(seen.id, ExecRequest(("sh", "-c", "echo up; sleep 613")))
    output = session.output()
    assert next(output) == ("stdout", b"up\n")
    bench.runtime.remove(seen.id)
    assert list(output) == []
    assert session.exit_code() == 137


def test_a_frozen_one_runs_nothing(bench: Bench) -> None:
    seen = bench.run()
    bench.runtime.pause(seen.id)
    with pytest.raises(ConflictError, match="paused"):
        bench.runtime.exec(seen.id, ExecRequest(("true",)))


def test_one_that_stands_runs_nothing(bench: Bench) -> None:
    seen = bench.create()
    with pytest.raises(ConflictError, match="does not run"):
        bench.runtime.exec(seen.id, ExecRequest(("true",)))


def test_a_session_ends_its_threads(bench: Bench) -> None:
    seen = bench.run()
    session = bench.runtime.exec(seen.id, ExecRequest(("cat",), stdin=b"x"))
    assert isinstance(session, DockerExec)
    list(session.output())
    session.exit_code()
    session.close()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("exec-")])
