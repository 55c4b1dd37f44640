"""A directory sandbox from its creation to its removal."""

from __future__ import annotations

from controller.model.observed import InstanceState
from tests.directory_runtime.house import House


def test_a_command_runs_and_its_output_and_exit_status_are_kept(any_house: House) -> None:
    id = any_house.make("sh", "-c", "echo out; echo err >&2; exit 7", restartPolicy="Never")
    ended = any_house.end_of(id)
    assert ended.exit is not None
    assert (ended.exit.code, ended.exit.signal, ended.exit.error) == (7, None, "")
    assert sorted(any_house.log(id).split()) == ["err", "out"]


def test_without_a_command_it_is_up_and_has_no_process(any_house: House) -> None:
    id = any_house.make()
    seen = any_house.see(id)
    assert (seen.state, seen.has_process, seen.pid) == (InstanceState.RUNNING, False, None)
    assert any_house.supervisor() is None
