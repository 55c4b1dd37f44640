"""No process of a sandbox is left behind, however it tried to get away."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from controller.model.observed import InstanceState
from controller.runtime.directory.membership import SANDBOX_MARKER
from controller.runtime.procfs import EXEC_MARKER, marker_of
from tests.directory_runtime.house import House, is_running, until

# A double fork with a session of its own: its parent is the supervisor then, its process group nobody's.
DAEMON = "import os, time; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); "
DAEMON += "open('pid', 'w').write(str(os.getpid())); time.sleep(1000)"

# Ever new processes, of which many end at once, and none minds that it may not fork.
BOMB = """
import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    try:
        if os.fork() == 0 and os.getpid() % 3 == 0:
            os._exit(0)
    except OSError:
        pass
"""


def _escaped(house: House, id: str) -> int:
    file = house.workspace(id) / "pid"
    until(lambda: file.exists() and file.read_text())
    return int(file.read_text())


def _make(house: House, prefix: str = "") -> tuple[str, int]:
    id = house.make("sh", "-c", f'{prefix} /usr/bin/python3 -c "{DAEMON}"; while :; do sleep 0.1; done')
    return id, _escaped(house, id)


@pytest.mark.parametrize("how", ["stop", "kill", "remove"])
def test_what_left_its_session_and_its_parent_ends_with_the_sandbox(any_house: House, how: str) -> None:
    id, pid = _make(any_house)
    assert is_running(pid)
    if how == "stop":
        any_house.runtime.stop(id, 2)
    else:
        getattr(any_house.runtime, how)(id)
    assert not is_running(pid)


def test_what_the_main_process_leaves_behind_ends_with_it(any_house: House) -> None:
    id, pid = _make(any_house)
    os.kill(any_house.see(id).pid or 0, signal.SIGKILL)
    any_house.end_of(id)
    until(lambda: not is_running(pid))


def test_a_marker_that_is_no_id_is_not_kept_whatever_its_length() -> None:
    env = {SANDBOX_MARKER: "x" * 100_000, EXEC_MARKER: "token"}
    with subprocess.Popen(["sleep", "100"], env=env) as process:
        until(lambda: marker_of(process.pid, EXEC_MARKER) == "token")
        assert marker_of(process.pid, SANDBOX_MARKER) == ""
        process.kill()


def test_what_escaped_is_paused_too(any_house: House) -> None:
    id = any_house.make(
        "sh", "-c", "setsid sh -c 'n=0; while :; do n=$((n+1)); echo $n > count; sleep 0.01; done' & sleep 100"
    )
    count = any_house.workspace(id) / "count"
    until(lambda: count.exists() and count.read_text())
    any_house.runtime.pause(id)
    frozen = count.read_text()
    with pytest.raises(AssertionError):
        until(lambda: count.read_text() != frozen, seconds=0.3)
    any_house.runtime.unpause(id)
    until(lambda: count.read_text() != frozen)


@pytest.mark.root
def test_what_cleared_its_environment_is_known_by_its_user(bare_house: House) -> None:
    id, pid = _make(bare_house, "env -i")
    assert not Path(f"/proc/{pid}/environ").read_bytes()
    bare_house.runtime.remove(id)
    assert not is_running(pid)


def test_a_fork_bomb_can_be_removed(house: House) -> None:
    if "pids" not in house.runtime.capabilities().updatable:
        pytest.skip("nothing would hold the bomb")
    id = house.make("/usr/bin/python3", "-c", BOMB, resources={"limits": {"pids": 40, "memory": "1Gi"}})
    until(lambda: (usage := house.runtime.usage([house.see(id)]).get(id)) is not None and (usage.pids or 0) > 30)
    house.runtime.remove(id)
    assert house.runtime.list() == []


def test_a_fork_bomb_in_an_exec_ends_with_its_timeout_and_the_sandbox_goes_on(house: House) -> None:
    if "pids" not in house.runtime.capabilities().updatable:
        pytest.skip("nothing would hold the bomb")
    id = house.make("sleep", "100", resources={"limits": {"pids": 40, "memory": "1Gi"}})
    assert house.run(id, "/usr/bin/python3", "-c", BOMB, timeout=1)[0] == 124
    until(lambda: house.runtime.usage([house.see(id)])[id].pids == 1)
    assert house.state(id) is InstanceState.RUNNING


def test_other_sandboxes_go_on(any_house: House) -> None:
    first, second = any_house.make("sleep", "100"), any_house.make("sleep", "100", name="other")
    any_house.runtime.kill(first)
    assert any_house.state(second) is InstanceState.RUNNING


def test_what_runs_of_a_folder_that_somebody_deleted_is_ended_by_the_next_create(any_house: House) -> None:
    uid = "6f1b2a34-0000-4000-8000-00000000000a"
    id = any_house.make("sleep", "100", uid=uid)
    pid = any_house.see(id).pid or 0
    any_house.folder(id).rename(any_house.state_dir / "elsewhere")
    assert any_house.runtime.list() == []
    again = any_house.make("sleep", "100", uid=uid)
    assert again == id
    assert not is_running(pid)
    assert any_house.state(id) is InstanceState.RUNNING
