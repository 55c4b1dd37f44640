"""A directory sandbox from its creation to its removal."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import pytest

from controller.model.errors import ConflictError, InstanceNotFoundError
from controller.model.identity import instance_name
from controller.model.observed import InstanceState
from controller.runtime.protocol import ExecRequest
from tests.directory_runtime.house import House, desired, is_running, owner_of, until

TRAPPING = "trap 'echo leaving; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
IGNORING = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


def test_a_command_runs_and_its_output_and_exit_status_are_kept(any_house: House) -> None:
    id = any_house.make("sh", "-c", "echo out; echo err >&2; exit 7")
    ended = any_house.end_of(id)
    assert ended.exit is not None
    assert (ended.exit.code, ended.exit.signal, ended.exit.oom_killed, ended.exit.error) == (7, None, False, "")
    assert ended.pid is None
    assert sorted(any_house.log(id).split()) == ["err", "out"]


def test_it_is_observed_as_what_it_was_made_from(house: House) -> None:
    wanted = desired("sleep", "100", resources={"limits": {"memory": "64Mi", "cpu": "500m", "pids": 20}})
    owner = owner_of(wanted, house.instance, str(uuid.uuid4()), "b")
    before = time.time()
    id = house.runtime.create(wanted, owner)
    assert house.state(id) is InstanceState.CREATED
    house.runtime.start(id)
    seen = house.see(id)
    assert seen.owner == owner
    assert (seen.id, seen.name) == (f"{owner.uid}-b", instance_name(house.instance, wanted.key, "b"))
    assert seen.template == wanted.template
    assert seen.limits == wanted.spec.limits
    assert seen.path == str(house.workspace(id))
    assert before <= seen.created_at <= (seen.started_at or 0) <= time.time()
    assert seen.pid is not None
    assert is_running(seen.pid)
    assert [listed.id for listed in house.runtime.list()] == [id]


def test_a_second_create_finds_the_place_taken(house: House) -> None:
    wanted = desired()
    owner = owner_of(wanted, house.instance, str(uuid.uuid4()))
    house.runtime.create(wanted, owner)
    with pytest.raises(ConflictError):
        house.runtime.create(wanted, owner)


def test_starting_what_runs_changes_nothing(house: House) -> None:
    id = house.make("sleep", "100")
    pid = house.see(id).pid
    house.runtime.start(id)
    assert house.see(id).pid == pid


def test_a_restart_is_a_new_run_that_goes_on_with_the_log(any_house: House) -> None:
    id = any_house.make("sh", "-c", "echo run; exit 1")
    first = any_house.end_of(id)
    any_house.runtime.start(id)
    second = any_house.end_of(id)
    assert first.exit is not None
    assert second.exit is not None
    assert second.exit.finished_at > first.exit.finished_at
    assert any_house.log(id) == "run\nrun\n"


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        (("no-such-command",), 127, "No such file or directory"),
        (("/etc/passwd",), 126, "Permission denied"),
        (("/tmp",), 126, "Permission denied"),
    ],
)
def test_a_command_that_cannot_be_executed_is_an_exit_with_the_reason(
    house: House, command: tuple[str, ...], code: int, text: str
) -> None:
    id = house.make(*command)
    ended = house.end_of(id).exit
    assert ended is not None
    assert (ended.code, ended.error) == (code, text)


def test_stop_lets_it_end_by_itself_within_the_grace(any_house: House) -> None:
    id = any_house.make("sh", "-c", TRAPPING)
    until(lambda: "ready" in any_house.log(id))
    started = time.monotonic()
    any_house.runtime.stop(id, 10)
    assert time.monotonic() - started < 5
    ended = any_house.see(id)
    assert ended.state is InstanceState.EXITED
    assert ended.exit is not None
    assert ended.exit.code == 3
    assert "leaving" in any_house.log(id)
    any_house.runtime.stop(id, 10)


def test_a_grace_longer_than_the_kernel_waits_at_once_is_kept_to(house: House) -> None:
    id = house.make("sleep", "100")
    house.runtime.stop(id, 600 * 3600.0)
    assert house.see(id).state is InstanceState.EXITED


def test_stop_kills_what_outlasts_the_grace(any_house: House) -> None:
    id = any_house.make("sh", "-c", IGNORING)
    until(lambda: "ready" in any_house.log(id))
    any_house.runtime.stop(id, 0.2)
    ended = any_house.see(id).exit
    assert ended is not None
    assert (ended.code, ended.signal) == (137, 9)


def test_kill_leaves_no_time_to_end(any_house: House) -> None:
    id = any_house.make("sh", "-c", TRAPPING)
    until(lambda: "ready" in any_house.log(id))
    any_house.runtime.kill(id)
    ended = any_house.see(id).exit
    assert ended is not None
    assert (ended.code, ended.signal, ended.engine_restarted) == (137, 9, False)
    assert "leaving" not in any_house.log(id)


def test_a_pause_stops_every_process_and_a_thaw_lets_them_go_on(any_house: House) -> None:
    counting = "n=0; while :; do n=$((n+1)); echo $n > count; sleep 0.01; done"
    id = any_house.make("sh", "-c", counting)
    count = any_house.workspace(id) / "count"
    until(lambda: count.exists() and count.read_text())
    any_house.runtime.pause(id)
    any_house.runtime.pause(id)
    assert any_house.state(id) is InstanceState.PAUSED
    assert any_house.runtime.list()[0].state is InstanceState.PAUSED
    frozen = count.read_text()
    with pytest.raises(AssertionError):
        until(lambda: count.read_text() != frozen, seconds=0.3)
    with pytest.raises(ConflictError):
        any_house.runtime.exec(id, ExecRequest(("true",)))
    any_house.runtime.unpause(id)
    assert any_house.state(id) is InstanceState.RUNNING
    until(lambda: count.read_text() != frozen)


def test_stop_works_on_a_paused_one(any_house: House) -> None:
    id = any_house.make("sh", "-c", TRAPPING)
    until(lambda: "ready" in any_house.log(id))
    any_house.runtime.pause(id)
    any_house.runtime.stop(id, 10)
    ended = any_house.see(id)
    assert (ended.state, ended.exit.code if ended.exit else None) == (InstanceState.EXITED, 3)


def test_a_paused_one_can_be_removed(any_house: House) -> None:
    id = any_house.make("sleep", "100")
    pid = any_house.see(id).pid or 0
    any_house.runtime.pause(id)
    any_house.runtime.remove(id)
    assert not is_running(pid)


def test_without_a_command_it_is_up_as_long_as_its_folder_is_there(any_house: House) -> None:
    id = any_house.make()
    seen = any_house.see(id)
    assert (seen.state, seen.has_process, seen.pid) == (InstanceState.RUNNING, False, None)
    assert any_house.supervisor() is None
    any_house.runtime.stop(id, 1)
    stopped = any_house.see(id)
    assert (stopped.state, stopped.exit.code if stopped.exit else None) == (InstanceState.EXITED, 0)
    any_house.runtime.start(id)
    assert any_house.state(id) is InstanceState.RUNNING
    any_house.runtime.kill(id)
    killed = any_house.see(id)
    assert (killed.state, killed.exit.signal if killed.exit else None) == (InstanceState.EXITED, 9)


def test_stopping_one_without_a_command_ends_what_execs_left_behind(any_house: House) -> None:
    id = any_house.make()
    code, text = any_house.run(id, "sh", "-c", "setsid sleep 100 >/dev/null 2>&1 & echo $!")
    assert code == 0
    pid = int(text)
    assert is_running(pid)
    any_house.runtime.stop(id, 5)
    assert not is_running(pid)


def test_remove_keeps_the_workspace_and_nothing_else(any_house: House) -> None:
    id = any_house.make("sh", "-c", "echo kept > file; touch $TMPDIR/gone; sleep 100")
    kept = any_house.workspace(id) / "file"
    until(kept.exists)
    any_house.runtime.remove(id)
    any_house.runtime.remove(id)
    assert kept.read_text() == "kept\n"
    assert any_house.runtime.list() == []
    assert list((any_house.state_dir / "directories").iterdir()) == []
    assert not any(Path(folder).parent.exists() for folder in any_house.group(id).paths.folders())


def test_a_replacement_has_the_same_workspace(any_house: House) -> None:
    uid = str(uuid.uuid4())
    first = any_house.make("sh", "-c", "echo mine > file; sleep 100", uid=uid)
    until((any_house.workspace(first) / "file").exists)
    any_house.runtime.pause(first)
    second = any_house.make("sh", "-c", "cat file; echo more >> file; sleep 100", uid=uid, slot="b")
    until(lambda: "mine" in any_house.log(second))
    any_house.runtime.remove(first)
    assert any_house.state(second) is InstanceState.RUNNING


def test_what_is_gone_can_not_be_started(house: House) -> None:
    with pytest.raises(InstanceNotFoundError):
        house.runtime.start(f"{uuid.uuid4()}-a")
    with pytest.raises(InstanceNotFoundError):
        house.runtime.stop("../../etc", 1)
