"""The supervisor outlives the daemon, and what it knew is not lost with it."""

from __future__ import annotations

import ast
import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import controller
from controller import unix_address
from controller.model.errors import DiskFullError, RuntimeFailure
from controller.model.identity import Key, sandbox_key
from controller.model.observed import InstanceState
from controller.runtime.directory import atomic, membership, supervisor, wire
from controller.runtime.directory.client import SupervisorClient
from controller.runtime.directory.supervisor.spawn import Launch
from tests.directory_runtime.house import House, desired, is_running, new_state_dir, owner_of, small_disk, until

# What a daemon does, as far as a sandbox is concerned; it says what it made, and then waits to be killed.
DAEMON = """
import json, sys
from pathlib import Path
from tests.directory_runtime.house import House
house = House(Path(sys.argv[1]), instance=sys.argv[2], **json.loads(sys.argv[3]))
id = house.make("sh", "-c", "n=0; while [ ! -e enough ]; do n=$((n+1)); echo $n; sleep 0.02; done; exit 5")
print(json.dumps([id, house.see(id).pid]), flush=True)
sys.stdin.read()
"""


def _made_by_a_daemon_that_is_killed(house: House) -> tuple[str, int]:
    settings = json.dumps(house.settings)
    command = [sys.executable, "-c", DAEMON, str(house.state_dir), house.instance, settings]
    root = Path(controller.__file__).parent.parent
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as daemon:
        assert daemon.stdout is not None
        lines = iter(daemon.stdout.readline, "")
        id, pid = json.loads(next(line for line in lines if line.startswith('["')))
        os.killpg(daemon.pid, signal.SIGKILL)
    return id, pid


def test_a_killed_daemon_leaves_its_sandboxes_running_and_the_next_adopts_them(any_house: House) -> None:
    id, pid = _made_by_a_daemon_that_is_killed(any_house)
    seen = any_house.see(id)
    assert (seen.state, seen.pid) == (InstanceState.RUNNING, pid)
    already = len(any_house.log(id).split())
    until(lambda: len(any_house.log(id).split()) > already + 5)
    numbers = [int(line) for line in any_house.log(id).split()]
    assert numbers == list(range(1, len(numbers) + 1))
    (any_house.workspace(id) / "enough").touch()
    ended = any_house.end_of(id).exit
    assert ended is not None
    assert (ended.code, ended.engine_restarted) == (5, False)


def test_an_end_that_no_daemon_saw_is_known_to_the_next(any_house: House) -> None:
    id, pid = _made_by_a_daemon_that_is_killed(any_house)
    (any_house.workspace(id) / "enough").touch()
    until(lambda: not is_running(pid))
    until(lambda: any_house.supervisor() is None, "the supervisor stays though nobody needs it", seconds=15)
    ended = any_house.see(id)
    assert (ended.state, ended.exit.code if ended.exit else None) == (InstanceState.EXITED, 5)


def test_exits_wake_the_key_and_nothing_has_to_ask(house: House) -> None:
    woken: list[Key | None] = []
    happened = threading.Event()

    def wake(key: Key | None) -> None:
        woken.append(key)
        happened.set()

    house.runtime.watch(wake)
    house.make("sh", "-c", "read line < /dev/null; exit 1", name="api")
    assert happened.wait(10)
    assert woken == [sandbox_key("default", "api")]


def test_a_restarted_daemon_hears_of_exits_again(house: House) -> None:
    id = house.make("sleep", "100", name="api")
    happened = threading.Event()
    house.reopen().watch(lambda _: happened.set())
    os.kill(house.see(id).pid or 0, signal.SIGKILL)
    assert happened.wait(10)


def test_a_killed_supervisor_ends_its_sandboxes_and_says_that_it_was_not_their_doing(any_house: House) -> None:
    woken = threading.Event()
    any_house.runtime.watch(lambda _: woken.set())
    id = any_house.make("sh", "-c", "setsid sleep 100 & echo $! > child; while :; do sleep 0.1; done")
    child_file = any_house.workspace(id) / "child"
    until(lambda: child_file.exists() and child_file.read_text())
    child, pid = int(child_file.read_text()), any_house.see(id).pid or 0
    os.kill(any_house.supervisor() or 0, signal.SIGKILL)
    assert woken.wait(10)
    ended = any_house.see(id)
    assert ended.state is InstanceState.EXITED
    assert ended.exit is not None
    assert (ended.exit.engine_restarted, ended.exit.signal) == (True, 9)
    assert any_house.see(id).exit == ended.exit
    assert not is_running(pid)
    assert not is_running(child)
    any_house.runtime.start(id)
    again = any_house.see(id)
    assert (again.state, is_running(again.pid or 0)) == (InstanceState.RUNNING, True)


def test_with_daemon_and_supervisor_both_killed_there_are_never_two_copies(any_house: House) -> None:
    id, pid = _made_by_a_daemon_that_is_killed(any_house)
    os.kill(any_house.supervisor() or 0, signal.SIGKILL)
    until(lambda: any_house.supervisor() is None)
    lost = any_house.see(id)
    assert lost.exit is not None
    assert lost.exit.engine_restarted
    any_house.runtime.start(id)
    assert not is_running(pid)
    assert any_house.see(id).pid != pid


def test_many_starts_at_once_share_one_supervisor(house: House) -> None:
    made = [desired("sleep", "100", name=f"s{number}") for number in range(6)]
    owners = [owner_of(one, house.instance, f"00000000-0000-4000-8000-00000000000{n}") for n, one in enumerate(made)]
    ids = [house.runtime.create(one, owner) for one, owner in zip(made, owners, strict=True)]
    threads = [threading.Thread(target=house.runtime.start, args=(id,)) for id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    parents = {_parent(house.see(id).pid or 0) for id in ids}
    assert parents == {house.supervisor()}


def test_a_second_supervisor_gives_way(house: House) -> None:
    house.make("sleep", "100")
    program = str(Path(supervisor.__file__).with_name("__main__.py"))
    command = [sys.executable, "-I", "-S", program, str(house.state_dir / "run")]
    assert subprocess.run(command, check=False).returncode == 3


def test_it_is_out_of_reach_of_the_terminal_and_of_the_daemons_session(house: House) -> None:
    house.make("sleep", "100")
    pid = house.supervisor() or 0
    assert os.getsid(pid) == pid != os.getsid(0)
    assert _parent(pid) != os.getpid()
    assert (house.state_dir / "run" / wire.SOCKET).stat().st_mode & 0o777 == 0o600


def test_asked_to_end_it_asks_its_sandboxes_first(house: House) -> None:
    id = house.make("sh", "-c", "trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done")
    until(lambda: "ready" in house.log(id))
    os.kill(house.supervisor() or 0, signal.SIGTERM)
    until(lambda: house.supervisor() is None)
    ended = house.see(id).exit
    assert ended is not None
    assert (ended.code, ended.engine_restarted) == (4, False)


def test_a_state_folder_with_a_long_path_is_served_all_the_same() -> None:
    top = new_state_dir()
    deep = top / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    house = House(deep)
    try:
        assert house.run(house.make("sleep", "100"), "echo", "hello") == (0, "hello\n")
    finally:
        house.close()
        for folder in (deep.parent, top):
            folder.rmdir()


@pytest.mark.parametrize(
    "line", [b"no json\n", b"[]\n", b'{"v": 1}\n', b'{"v": 1, "op": "start", "id": 3}\n', b'{"v": 99, "op": "wait"}\n']
)
def test_nonsense_on_its_socket_is_answered_and_harms_nobody(house: House, line: bytes) -> None:
    id = house.make("sleep", "100")
    with wire.connect(str(house.state_dir / "run"), 5) as connection:
        connection.sendall(line)
        answer = connection.recv(4096)
    assert b"error" in answer or not answer
    assert house.run(id, "true") == (0, "")


def test_where_a_process_cannot_be_set_up_there_was_no_run_and_it_can_be_tried_again(house: House) -> None:
    id = house.make("sleep", "100")
    house.runtime.kill(id)
    launch = Launch(argv=["sleep", "1"], env={}, cwd="/", home="/", join=["/no/such/group"])
    message = {"op": "start", "id": id, "folder": str(house.folder(id)), "logBytes": 100, "oomFile": ""}
    client = SupervisorClient(house.state_dir / "run", 5)
    with pytest.raises(RuntimeFailure, match=r"No such file or directory \(/no/such/group\)"):
        client.request({**message, "launch": launch._asdict()})
    assert house.state(id) is InstanceState.CREATED
    house.runtime.start(id)
    assert house.state(id) is InstanceState.RUNNING


def _leave_one_descriptor(house: House) -> None:
    """To the supervisor, beside that of the connection it is asked over."""
    pid = house.supervisor() or 0
    taken = {int(file.name) for file in Path(f"/proc/{pid}/fd").iterdir()}
    free = (number for number in itertools.count() if number not in taken)
    *_, last = itertools.islice(free, 2)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (last + 1, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))


@pytest.mark.parametrize("fault", ["no descriptors", "no record"])
def test_a_restart_that_fails_leaves_no_dead_run_that_looks_alive(any_house: House, fault: str) -> None:
    any_house.make("sleep", "100", name="other")  # the supervisor stays
    id = any_house.make("sh", "-c", "setsid sleep 100 & exit 3")
    any_house.end_of(id)
    blocked = any_house.folder(id) / "run.json.tmp"
    limits = resource.prlimit(any_house.supervisor() or 0, resource.RLIMIT_NOFILE)
    if fault == "no record":
        blocked.mkdir()
    else:
        until(lambda: not _clients(any_house))
        _leave_one_descriptor(any_house)
    with pytest.raises(RuntimeFailure, match=r"Is a directory|Too many open files"):
        any_house.runtime.start(id)
    resource.prlimit(any_house.supervisor() or 0, resource.RLIMIT_NOFILE, limits)
    assert any_house.state(id) is InstanceState.CREATED
    assert any_house.see(id).pid is None
    if blocked.exists():
        blocked.rmdir()
    any_house.runtime.start(id)
    ended = any_house.end_of(id).exit
    assert ended is not None
    assert ended.code == 3


def test_a_restart_that_fails_without_a_command_is_no_run_either(house: House) -> None:
    id = house.make()
    house.runtime.stop(id, 1)
    blocked = house.folder(id) / "run.json.tmp"
    blocked.mkdir()
    with pytest.raises(RuntimeFailure, match="Is a directory"):
        house.runtime.start(id)
    assert house.state(id) is InstanceState.CREATED
    blocked.rmdir()


def test_a_supervisor_that_cannot_start_says_where_to_look(house: House) -> None:
    run_dir = house.state_dir / "run"
    run_dir.mkdir()
    (run_dir / wire.SOCKET).mkdir()
    with pytest.raises(RuntimeFailure, match=wire.LOG):
        SupervisorClient(run_dir, 5).request({"op": "wait", "id": "x"})
    (run_dir / wire.SOCKET).rmdir()
    assert "IsADirectoryError" in (run_dir / wire.LOG).read_text()
    (run_dir / wire.LOG).unlink()


@pytest.mark.root
def test_on_a_full_disk_an_exit_is_still_recorded_and_a_start_says_what_is_wrong() -> None:
    with small_disk() as disk:
        house = House(disk)
        id = house.make("sleep", "100")
        filler = disk / "filler"
        filled = subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], capture_output=True, check=False)
        assert b"No space" in filled.stderr
        os.kill(house.see(id).pid or 0, signal.SIGKILL)
        ended = house.end_of(id).exit
        assert ended is not None
        assert (ended.signal, ended.engine_restarted) == (9, False)
        with pytest.raises(DiskFullError):
            house.runtime.start(id)
        filler.unlink()
        house.runtime.start(id)
        assert house.state(id) is InstanceState.RUNNING
        house.empty()


def test_it_needs_nothing_but_the_standard_library() -> None:
    programs = [*Path(supervisor.__file__).parent.glob("*.py"), Path(atomic.__file__), Path(membership.__file__)]
    programs += [Path(wire.__file__), Path(unix_address.__file__)]
    imported = {name for program in programs for name in _imports(program)}
    ours = {name for name in imported if name.startswith("controller.")}
    assert {name.split(".")[0] for name in imported - ours} <= set(sys.stdlib_module_names)
    assert {name.rpartition(".")[0] for name in ours - {unix_address.__name__}} <= {
        "controller.runtime",
        "controller.runtime.directory",
        "controller.runtime.directory.supervisor",
    }


def _clients(house: House) -> int:
    """How many connections the supervisor has open, beside the one it listens on."""
    files = Path(f"/proc/{house.supervisor()}/fd").iterdir()
    return sum(str(file.readlink()).startswith("socket:") for file in files) - 1


def _imports(program: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(program.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
