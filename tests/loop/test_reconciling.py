"""What a change of the manifests does, from the snapshot to the status."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from controller.model.conditions import ConditionType
from controller.model.errors import (
    CannotRunError,
    ConflictError,
    EngineTimeoutError,
    EngineUnavailableError,
    ImageUnavailableError,
    ResizePendingError,
    RuntimeFailure,
)
from controller.model.identity import sandbox_key
from controller.model.observed import InstanceState
from controller.model.status import Phase
from tests.loop.harness import Harness, document
from tests.loop.memory import Lines


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def test_a_manifest_becomes_a_running_sandbox_that_is_ready_after_a_second(harness: Harness) -> None:
    harness.declare(document("web"))
    assert harness.docker.calls == ["prepare", "create", "start"]
    assert harness.phase("web") == Phase.RUNNING
    assert harness.condition("web", ConditionType.READY) == ("False", "Starting")
    harness.advance(1.0)
    assert harness.condition("web", ConditionType.READY) == ("True", "Running")
    assert "Ready" in harness.events("web")


def test_each_stage_of_a_change_is_timed_once_and_only_where_it_was_saved_while_the_daemon_ran(
    harness: Harness,
) -> None:
    now = harness.clock.now()
    fresh = replace(document("web"), saved_at=now, seen_at=now + 0.1)
    old = replace(document("old"), saved_at=now - 86_400, seen_at=now + 0.1)
    harness.declare(fresh, old)
    harness.advance(2)
    harness.wake("web")
    stages = {name: count for name, count in harness.recorder.counts.items() if name.startswith("changed")}
    assert stages == {"changed seen": 1, "changed planned": 1, "changed created": 1, "changed ready": 1}


def test_a_converged_sandbox_is_left_alone(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    calls = list(harness.docker.calls)
    harness.wake("web")
    harness.wake("web")
    assert harness.docker.calls == calls


def test_a_removed_manifest_takes_the_sandbox_and_keeps_the_workspace_in_the_trash(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    uid = harness.entry("web").record.uid
    harness.workspaces.ensure(uid, 0, 0)
    harness.declare()
    assert harness.docker.instances == {}
    assert harness.world.entry(sandbox_key("default", "web")) is None
    assert [trashed.uid for trashed in harness.workspaces.trashed()] == [uid]
    assert harness.store.load() == {}


def test_a_restart_of_the_daemon_adopts_what_runs(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    calls, before = list(harness.docker.calls), harness.entry("web").record
    harness.restart()
    harness.settle()
    assert harness.docker.calls == calls
    assert harness.entry("web").record.uid == before.uid
    assert harness.condition("web", ConditionType.READY) == ("True", "Running")


def test_an_edit_of_the_image_replaces_and_keeps_the_uid(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    before = harness.entry("web").record
    harness.declare(document("web", image="busybox:2"))
    assert {seen.state for seen in harness.docker.instances.values()} == {InstanceState.PAUSED, InstanceState.RUNNING}
    harness.advance(1.0)
    assert harness.docker.only().template["image"] == "busybox:2"
    after = harness.entry("web").record
    assert (after.uid, after.generation) == (before.uid, before.generation + 1)


def test_a_replacement_that_cannot_start_leaves_the_old_one_running(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    old = harness.docker.only().id
    harness.docker.fail("start", RuntimeFailure("port is already allocated"))
    harness.declare(document("web", image="busybox:2"))
    harness.advance(2)
    assert harness.docker.only().id == old
    assert harness.docker.only().state is InstanceState.RUNNING
    assert harness.condition("web", ConditionType.DEGRADED) == ("True", "ReplaceFailed")
    assert harness.condition("web", ConditionType.READY)[0] == "True"


def test_what_runs_stays_ready_and_degraded_while_its_replacement_has_no_image(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    old = harness.docker.only()
    harness.docker.fail("prepare", ImageUnavailableError("no such image: nope"), times=9)
    harness.declare(document("web", image="nope"))
    for _ in range(3):
        harness.advance(5)
        assert harness.docker.only() == old
        assert harness.phase("web") == Phase.RUNNING
        assert harness.condition("web", ConditionType.READY)[0] == "True"
        assert harness.condition("web", ConditionType.DEGRADED) == ("True", "ImageUnavailable")
    harness.declare(document("web"))
    assert harness.docker.only() == old
    assert harness.condition("web", ConditionType.DEGRADED)[0] == "False"


def test_a_command_that_cannot_run_waits_for_an_edit(harness: Harness) -> None:
    harness.docker.fail("start", CannotRunError("no such command: nope"))
    harness.declare(document("web", command=["nope"]))
    harness.advance(600)
    assert harness.phase("web") == Phase.FAILED
    assert harness.docker.calls.count("start") == 0
    harness.declare(document("web", command=["sleep", "1"]))
    harness.advance(2)
    assert harness.condition("web", ConditionType.READY)[0] == "True"


def test_a_failure_is_shown_and_tried_again_until_it_passes(harness: Harness) -> None:
    harness.docker.fail("create", RuntimeFailure("the engine said 500"), times=3)
    harness.declare(document("web"))
    assert harness.condition("web", ConditionType.DEGRADED) == ("True", "RuntimeFailure")
    harness.advance(60)
    assert harness.condition("web", ConditionType.DEGRADED)[0] == "False"
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    assert harness.recorder.counts["reconciled retry"] == 3


def test_a_runtime_that_did_not_answer_once_is_asked_again_though_no_event_tells_of_it(harness: Harness) -> None:
    harness.docker.fail("inspect", EngineTimeoutError("no answer within 10 s"))
    harness.declare(document("web"))
    harness.advance(120)
    assert harness.condition("web", ConditionType.READY)[0] == "True"


def test_an_image_that_cannot_be_had_is_nothing_to_one_that_is_suspended(harness: Harness) -> None:
    harness.docker.fail("prepare", ImageUnavailableError("no such image"), times=1000)
    harness.declare(document("web"))
    harness.advance(5)
    assert harness.condition("web", ConditionType.DEGRADED) == ("True", "ImageUnavailable")
    harness.loop.control.suspend(harness.key("web"), "by hand")
    harness.settle()
    assert harness.condition("web", ConditionType.SUSPENDED)[0] == "True"
    assert harness.condition("web", ConditionType.DEGRADED)[0] == "False"


def test_a_conflict_is_looked_at_again_in_silence_and_told_where_it_lasts(harness: Harness) -> None:
    harness.docker.fail("create", ConflictError("the name is taken by another's container; remove that"), times=2)
    harness.declare(document("brief"))
    harness.advance(5)
    assert harness.condition("brief", ConditionType.READY)[0] == "True"
    assert "Conflict" not in harness.events("brief")
    harness.docker.fail("create", ConflictError("the name is taken by another's container; remove that"), times=9)
    harness.declare(document("brief"), document("web"))
    harness.advance(5)
    assert harness.condition("web", ConditionType.DEGRADED) == ("True", "Conflict")
    assert "Conflict" in harness.events("web")
    harness.advance(600)
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    assert harness.condition("web", ConditionType.DEGRADED)[0] == "False"


def test_a_lasting_conflict_keeps_no_old_one_frozen_for_ever(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    old = harness.docker.only().id
    harness.docker.fail("create", ConflictError("the name is taken by another's container; remove that"), times=999)
    harness.declare(document("web", image="busybox:2"))
    harness.advance(200)
    assert harness.condition("web", ConditionType.DEGRADED) == ("True", "Conflict")
    assert harness.docker.only().state is InstanceState.PAUSED
    harness.advance(200)
    assert (harness.docker.only().id, harness.docker.only().state) == (old, InstanceState.RUNNING)
    assert harness.condition("web", ConditionType.DEGRADED) == ("True", "ReplaceFailed")


def test_a_contract_that_cannot_be_read_stops_nothing(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object) -> NoReturn:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "a name that a sandbox gave itself")

    monkeypatch.setattr(harness.docker, "contract", unreadable)
    harness.declare(document("web"))
    harness.advance(2)
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    assert harness.condition("web", ConditionType.LIMITS_ENFORCED)[0] == "Unknown"
    assert "reconciled panic" not in harness.recorder.counts


def test_a_resize_below_usage_keeps_the_sandbox_running_and_is_tried_again(harness: Harness) -> None:
    harness.declare(document("web", resources={"limits": {"memory": "64Mi"}}))
    harness.advance(2)
    harness.docker.fail("update", ResizePendingError("32Mi is below present usage"), times=2)
    harness.declare(document("web", resources={"limits": {"memory": "32Mi"}}))
    assert harness.condition("web", ConditionType.DEGRADED) == ("True", "ResizePending")
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    harness.advance(60)
    assert harness.docker.only().limits.memory == 32 << 20
    assert harness.condition("web", ConditionType.DEGRADED)[0] == "False"
    assert harness.docker.calls.count("create") == 1


def test_the_contract_shows_a_limit_that_only_the_manifest_knows(harness: Harness) -> None:
    harness.declare(document("web", resources={"limits": {"disk": "1Gi"}}))
    harness.advance(2)
    assert harness.entry("web").contract[1].value == str(1 << 30)
    harness.declare(document("web", resources={"limits": {"disk": "2Gi"}}))
    assert harness.entry("web").contract[1].value == str(2 << 30)
    assert harness.docker.calls.count("create") == 1


def test_an_engine_that_goes_away_is_a_condition_and_nobody_else_suffers(harness: Harness) -> None:
    harness.declare(document("web"), document("here", isolation="directory"))
    harness.advance(2)
    harness.docker.available = False
    harness.wake("web")
    harness.wake("here")
    assert harness.condition("web", ConditionType.DEGRADED) == ("True", "EngineDown")
    assert harness.condition("here", ConditionType.DEGRADED)[0] == "False"
    harness.docker.available = True
    harness.wake("web")
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    assert harness.docker.calls.count("create") == 1


def test_an_engine_that_hangs_in_inspect_counts_as_away(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    harness.docker.fail("inspect", EngineUnavailableError("no answer"))
    harness.wake("web")
    assert harness.condition("web", ConditionType.DEGRADED)[0] == "True"


def test_a_fallback_runs_as_a_directory_until_there_is_an_engine(harness: Harness) -> None:
    harness.docker.available = False
    harness.declare(document("web", fallback="directory"))
    harness.advance(2)
    assert harness.directory.only().state is InstanceState.RUNNING
    assert harness.condition("web", ConditionType.DEGRADED) == ("True", "Fallback")
    harness.docker.available = True
    harness.wake("web")
    harness.advance(2)
    assert harness.directory.instances == {}
    assert harness.docker.only().state is InstanceState.RUNNING


def test_an_engine_that_comes_back_ends_a_fallback_of_itself(harness: Harness) -> None:
    harness.docker.available = False
    harness.declare(document("web", fallback="directory"))
    harness.advance(2)
    harness.docker.available = True
    harness.docker.tell(None)
    harness.advance(2)
    assert harness.directory.instances == {}
    assert harness.condition("web", ConditionType.DEGRADED)[0] == "False"


def test_an_engine_that_comes_back_gets_what_was_moved_to_it_meanwhile(harness: Harness) -> None:
    harness.declare(document("web", isolation="directory"), document("here", isolation="directory"))
    harness.advance(2)
    harness.docker.available = False
    harness.declare(document("web"), document("here", isolation="directory"))
    assert harness.condition("web", ConditionType.DEGRADED) == ("True", "EngineDown")
    harness.docker.available = True
    passes = harness.recorder.counts["reconciled success"]
    harness.docker.tell(None)
    harness.settle()
    assert harness.recorder.counts["reconciled success"] == passes + 1, "and nothing else is looked at"
    harness.advance(2)
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    assert harness.docker.only().state is InstanceState.RUNNING


def test_a_crashing_sandbox_backs_off_and_its_last_words_are_kept(harness: Harness) -> None:
    harness.declare(document("web", command=["false"]))
    for _ in range(3):
        harness.docker.end(harness.docker.only().id, code=1)
        harness.wake("web")
        harness.advance(0.5)
    assert harness.phase("web") == Phase.CRASH_LOOP
    last = harness.entry("web").record.last_termination
    assert last is not None
    assert (last.cause, last.exit_code, last.log_tail) == ("exited with status 1", 1, "the last line\n")
    assert len(harness.store.terminations(sandbox_key("default", "web"))) == 3


def test_of_a_long_last_line_no_more_is_held_than_is_kept(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = [b"x" * 65536] * 64 + [b"the end\n"]
    monkeypatch.setattr(harness.docker, "logs", lambda *_, **__: Lines(chunks))
    harness.declare(document("web", command=["false"]))
    harness.docker.end(harness.docker.only().id, code=1)
    tracemalloc.start()
    harness.wake("web")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    last = harness.entry("web").record.last_termination
    assert last is not None
    assert (len(last.log_tail), last.log_tail[-9:]) == (4096, "xthe end\n")
    assert peak < 1 << 20


def test_a_dependency_is_ready_before_its_dependent_starts_and_goes_after_it(harness: Harness) -> None:
    harness.declare(document("db"), document("app", dependsOn=["db"]))
    assert harness.phase("app") == Phase.PENDING
    harness.advance(3)
    assert harness.condition("app", ConditionType.READY)[0] == "True"
    harness.declare()
    removed = [event.key.name for event in harness.store.events() if event.reason == "Removed"]
    assert removed == ["app", "db"]


def test_nobody_waits_for_the_end_of_a_sandbox_that_has_none_or_is_gone(harness: Harness) -> None:
    harness.declare(document("web", shutdownTime="2099-01-01T00:00:00Z"))
    harness.advance(2)
    assert harness.loop.queue.next_due() is not None
    harness.declare(document("web"))
    harness.advance(2)
    assert harness.loop.queue.next_due() is None
    harness.declare(document("web", shutdownTime="2099-01-01T00:00:00Z"))
    harness.declare()
    assert harness.loop.queue.next_due() is None


def test_a_dependency_whose_time_is_up_is_not_one_that_has_done_its_work(harness: Harness) -> None:
    harness.declare(document("db", ttl="1m"))
    harness.advance(61)
    assert harness.condition("db", ConditionType.FINISHED) == ("True", "Expired")
    harness.declare(document("db", ttl="1m"), document("app", dependsOn=["db"]))
    harness.advance(5)
    assert harness.condition("app", ConditionType.READY) == ("False", "WaitingForDependencies")
    assert harness.docker.instances == {}


def test_a_cycle_of_dependencies_is_refused_and_spelt_out(harness: Harness) -> None:
    harness.declare(document("a", dependsOn=["b"]), document("b", dependsOn=["a"]))
    assert harness.condition("a", ConditionType.ACCEPTED) == ("False", "DependencyCycle")
    assert harness.docker.calls == []
    harness.declare(document("a", dependsOn=["b"]), document("b"))
    harness.advance(3)
    assert harness.condition("a", ConditionType.READY)[0] == "True"
