"""Commands run beside the main process."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from controller.model.errors import ConflictError, RuntimeFailure, UsageError
from controller.model.observed import InstanceState
from controller.runtime.directory import lifecycle
from controller.runtime.directory.membership import SANDBOX_MARKER
from controller.runtime.procfs import marker_of
from controller.runtime.protocol import ExecRequest
from tests.directory_runtime.house import House, is_running, until


def test_output_comes_by_stream_and_the_exit_status_at_the_end(any_house: House) -> None:
    id = any_house.make()
    session = any_house.runtime.exec(id, ExecRequest(("sh", "-c", "echo out; echo err >&2; exit 9")))
    assert sorted(session.output()) == [("stderr", b"err\n"), ("stdout", b"out\n")]
    assert session.exit_code() == 9


def test_an_exit_status_can_be_asked_for_without_reading(house: House) -> None:
    session = house.runtime.exec(house.make(), ExecRequest(("sh", "-c", "echo ignored; exit 3")))
    assert session.exit_code() == 3


def test_a_signal_is_128_and_its_number(house: House) -> None:
    assert house.run(house.make(), "sh", "-c", "kill -KILL $$") == (137, "")


def test_stdin_is_fed_and_closed(house: House) -> None:
    data = b"x" * 3_000_000
    session = house.runtime.exec(house.make(), ExecRequest(("cat",), stdin=data))
    assert b"".join(chunk for _, chunk in session.output()) == data
    assert session.exit_code() == 0


def test_a_command_that_reads_no_stdin_does_not_hang(house: House) -> None:
    assert house.run(house.make(), "true", stdin=b"x" * 3_000_000) == (0, "")


def test_it_runs_in_the_workspace_with_the_sandboxes_environment(any_house: House) -> None:
    id = any_house.make("sleep", "100", env=[{"name": "COLOUR", "value": "blue"}])
    script = "pwd; echo $COLOUR $SHAPE; echo $HOME"
    code, text = any_house.run(id, "sh", "-c", script, env={"SHAPE": "round"})
    workspace = str(any_house.workspace(id))
    assert (code, text.splitlines()) == (0, [workspace, "blue round", workspace])


def test_a_folder_below_the_workspace_is_made_where_it_is_not_there(house: House) -> None:
    id = house.make()
    assert house.run(id, "pwd", working_dir="/workspace/a/b") == (0, f"{house.workspace(id)}/a/b\n")


@pytest.mark.parametrize("folder", ["/etc", "/workspace/../etc", "relative", "/workspaces"])
def test_a_folder_outside_the_workspace_is_refused(house: House, folder: str) -> None:
    with pytest.raises(UsageError, match="outside the workspace"):
        house.runtime.exec(house.make(), ExecRequest(("pwd",), working_dir=folder))


@pytest.mark.parametrize(("command", "code"), [(("no-such-command",), 127), (("/etc/passwd",), 126)])
def test_a_command_that_cannot_be_executed_says_so(house: House, command: tuple[str, ...], code: int) -> None:
    found, text = house.run(house.make(), *command)
    assert found == code
    assert "cannot run the command" in text


def test_a_timeout_longer_than_the_kernel_waits_at_once_harms_nobody(house: House) -> None:
    id = house.make("sleep", "100")
    assert house.run(id, "echo", "hi", timeout=720 * 3600.0) == (0, "hi\n")
    assert house.see(id).state is InstanceState.RUNNING


def test_a_timeout_kills_the_whole_tree(any_house: House) -> None:
    id = any_house.make("sleep", "100")
    main = any_house.see(id).pid or 0
    script = "setsid sh -c 'echo $$; exec sleep 100' & sleep 100 & echo $!; wait"
    started = time.monotonic()
    code, text = any_house.run(id, "sh", "-c", script, timeout=0.5)
    assert code == 124
    assert 0.4 < time.monotonic() - started < 5
    pids = [int(line) for line in text.split()]
    assert len(pids) == 2
    until(lambda: not any(is_running(pid) for pid in pids))
    assert is_running(main)


def test_a_timeout_also_ends_what_double_forked(any_house: House) -> None:
    daemon = "import os, time; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); "
    daemon += "open('pid', 'w').write(str(os.getpid())); time.sleep(100)"
    id = any_house.make()
    code, _ = any_house.run(id, "sh", "-c", f'/usr/bin/python3 -c "{daemon}"; sleep 100', timeout=1)
    assert code == 124
    pid = int((any_house.workspace(id) / "pid").read_text())
    until(lambda: not is_running(pid))


def test_closing_it_kills_the_tree(any_house: House) -> None:
    id = any_house.make()
    session = any_house.runtime.exec(id, ExecRequest(("sh", "-c", "sleep 100 & echo $!; wait")))
    output = session.output()
    pid = int(next(output)[1])
    assert is_running(pid)
    session.close()
    session.close()
    assert list(output) == []
    until(lambda: not is_running(pid))


def test_one_thread_can_close_what_another_reads(house: House) -> None:
    session = house.runtime.exec(house.make(), ExecRequest(("sleep", "100")))
    reader = threading.Thread(target=lambda: list(session.output()))
    reader.start()
    session.close()
    reader.join(10)
    assert not reader.is_alive()
    assert session.exit_code() == 137


def test_what_it_leaves_running_does_not_hold_it_up_and_ends_with_the_sandbox(any_house: House) -> None:
    id = any_house.make()
    started = time.monotonic()
    code, text = any_house.run(id, "sh", "-c", "sleep 100 & echo $!")
    assert (code, time.monotonic() - started < 5) == (0, True)
    pid = int(text)
    assert is_running(pid)
    any_house.runtime.remove(id)
    assert not is_running(pid)


def test_many_at_once_do_not_hold_up_one_another(house: House) -> None:
    id = house.make()
    found: list[tuple[int, str]] = []

    def work(number: int) -> None:
        found.append(house.run(id, "sh", "-c", f"sleep 0.3; echo {number}"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started < 2
    assert sorted(found) == [(0, f"{number}\n") for number in range(8)]


def test_it_is_refused_where_the_sandbox_is_down(house: House) -> None:
    id = house.make("true")
    house.end_of(id)
    with pytest.raises(ConflictError, match="Exited"):
        house.runtime.exec(id, ExecRequest(("true",)))


def test_it_is_refused_while_the_sandbox_is_being_stopped(any_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "EXEC_PATIENCE", 0.1)
    id = any_house.make("sh", "-c", "trap 'echo asked' TERM; echo ready; while [ ! -e enough ]; do sleep 0.02; done")
    until(lambda: "ready" in any_house.log(id))
    stopping = threading.Thread(target=any_house.runtime.stop, args=(id, 60))
    stopping.start()
    until(lambda: "asked" in any_house.log(id))
    with pytest.raises(ConflictError, match="being stopped"):
        any_house.runtime.exec(id, ExecRequest(("touch", "made")))
    (any_house.workspace(id) / "enough").touch()
    stopping.join(10)
    assert not stopping.is_alive()
    assert not (any_house.workspace(id) / "made").exists()


def test_a_removal_right_after_it_was_begun_ends_it_too(any_house: House) -> None:
    for _ in range(5):
        id = any_house.make()
        any_house.runtime.exec(id, ExecRequest(("sleep", "1000")))
        any_house.runtime.remove(id)
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        assert not [pid for pid in pids if is_running(pid) and marker_of(pid, SANDBOX_MARKER) == id]


def test_where_it_cannot_be_set_up_that_is_said_at_once(house: House) -> None:
    id = house.make()
    house.run(id, "touch", "file")
    with pytest.raises(RuntimeFailure, match="cannot be started: File exists"):
        house.runtime.exec(id, ExecRequest(("true",), working_dir="/workspace/file"))


def test_no_descriptor_is_left_open(house: House) -> None:
    id = house.make()
    house.run(id, "true")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        house.run(id, "true")
    house.runtime.exec(id, ExecRequest(("sleep", "100"))).close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_it_sees_only_its_own_descriptors(house: House) -> None:
    code, text = house.run(house.make(), "sh", "-c", "ls /proc/self/fd")
    assert (code, set(text.split()) - {"0", "1", "2", "3"}) == (0, set())  # 3 is ls's own, of the folder
