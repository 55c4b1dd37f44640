"""What people and limits do against the manifest, and what undoes it."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from controller.model.conditions import ConditionType
from controller.model.errors import EngineTimeoutError, ResizePendingError, StateError, UsageError
from controller.model.identity import Key
from controller.model.manifest import PruneBlock, Snapshot
from controller.model.observed import InstanceState, Observed, Usage
from controller.model.status import Phase
from controller.report.holds import JsonHoldStore
from controller.runtime.workspace import WorkspaceFolder
from tests.loop.harness import Harness, document


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def measure(harness: Harness, **changes: float) -> None:
    """A tick two seconds later, with this usage of the one container."""
    harness.clock.advance(2.0)
    seen = harness.docker.only()
    before = harness.docker.usages.get(seen.id) or Usage(harness.clock.now() - 2, 0.0, 1 << 20, 1)
    harness.docker.usages[seen.id] = replace(before, at=harness.clock.now(), **changes)  # type: ignore[arg-type]
    harness.loop.tick.run()
    harness.settle()


def test_suspend_and_resume_keep_the_instance_and_count_no_restart(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    harness.loop.control.suspend(harness.key("web"), "asked by a person")
    harness.settle()
    assert harness.docker.only().state is InstanceState.EXITED
    assert harness.phase("web") == Phase.SUSPENDED
    assert harness.loop.control.resume(harness.key("web")) == ["Suspended"]
    harness.advance(2)
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    assert harness.entry("web").record.restarts == 0


def test_freeze_pauses_in_memory_and_survives_a_restart_of_the_daemon(harness: Harness) -> None:
    harness.declare(document("web", suspend={"mode": "Freeze"}))
    harness.advance(2)
    harness.loop.control.suspend(harness.key("web"), "asked by a person")
    harness.settle()
    assert harness.docker.only().state is InstanceState.PAUSED
    harness.restart()
    harness.settle()
    assert harness.docker.only().state is InstanceState.PAUSED
    harness.loop.control.resume(harness.key("web"))
    harness.settle()
    assert harness.docker.only().state is InstanceState.RUNNING
    assert harness.docker.calls.count("start") == 1


def test_a_manifest_that_says_suspended_cannot_be_resumed_by_hand(harness: Harness) -> None:
    harness.declare(document("web", operatingMode="Suspended"))
    assert harness.docker.instances == {}
    with pytest.raises(UsageError, match=r"web\.yaml"):
        harness.loop.control.resume(harness.key("web"))


def test_a_restart_stops_and_starts_once(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    harness.loop.control.restart(harness.key("web"), "asked by a person")
    assert harness.condition("web", ConditionType.READY) == ("False", "Restarting")
    harness.advance(2)
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    assert harness.docker.calls.count("start") == 2
    record = harness.entry("web").record
    assert record.restarts == 1
    assert record.last_termination is not None
    assert record.last_termination.cause == "asked by a person"


def test_a_finished_sandbox_runs_again_when_a_restart_is_asked_for(harness: Harness) -> None:
    harness.declare(document("web", restartPolicy="Never"))
    harness.advance(2)
    harness.docker.end(harness.docker.only().id, code=0)
    harness.wake("web")
    assert harness.phase("web") == Phase.SUCCEEDED
    harness.loop.control.restart(harness.key("web"), "asked by a person")
    harness.advance(2)
    assert harness.condition("web", ConditionType.READY)[0] == "True"


def test_disk_over_its_limit_stops_the_sandbox_until_an_edit(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    measure(harness, disk=2 << 30)
    assert harness.docker.only().state is InstanceState.EXITED
    assert harness.phase("web") == Phase.FAILED
    assert harness.condition("web", ConditionType.READY) == ("False", "LimitExceeded")
    last = harness.entry("web").record.last_termination
    assert last is not None
    assert last.cause == "disk: 2Gi of 1Gi, over the limit"
    harness.declare(document("web", resources={"limits": {"disk": "4Gi"}}))
    harness.advance(2)
    assert harness.condition("web", ConditionType.READY)[0] == "True"


def test_disk_over_its_limit_again_after_a_resume_stops_the_sandbox_again(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    measure(harness, disk=2 << 30)
    harness.loop.control.resume(harness.key("web"))
    harness.advance(2)
    measure(harness, disk=1 << 30)
    assert harness.docker.only().state is InstanceState.RUNNING
    measure(harness, disk=50 << 30)
    assert harness.docker.only().state is InstanceState.EXITED
    assert harness.events("web").count("LimitExceeded") == 2


def test_memory_over_its_limit_kills_with_evidence_and_the_policy_restarts(harness: Harness) -> None:
    harness.declare(document("web", resources={"limits": {"memory": "64Mi"}}))
    harness.advance(2)
    measure(harness)
    measure(harness, working_set=65 << 20)
    harness.advance(2)
    assert harness.docker.calls.count("kill") == 1
    last = harness.entry("web").record.last_termination
    assert last is not None
    assert "over the limit" in last.cause
    assert [sample.value for sample in last.samples][-1] == 65 << 20
    assert harness.recorder.counts["violated memory kill"] == 1
    assert harness.condition("web", ConditionType.READY)[0] == "True"


def test_one_that_fills_its_memory_as_soon_as_it_runs_again_is_killed_again(harness: Harness) -> None:
    harness.declare(document("web", resources={"limits": {"memory": "64Mi"}}))
    harness.advance(2)
    measure(harness, working_set=65 << 20, cpu_seconds=0.5)
    harness.advance(2)
    measure(harness, working_set=65 << 20, cpu_seconds=1.8)
    assert harness.docker.calls.count("kill") == 2


def test_the_evidence_of_a_kill_outlives_the_daemon(harness: Harness) -> None:
    harness.declare(document("web", resources={"limits": {"memory": "64Mi"}}))
    harness.advance(2)
    measure(harness)
    harness.docker.fail("kill", EngineTimeoutError("no answer"))
    measure(harness, working_set=65 << 20)
    harness.docker.end(harness.docker.only().id, code=137, signal=9)
    harness.restart()
    harness.advance(2)
    last = harness.entry("web").record.last_termination
    assert last is not None
    assert "over the limit" in last.cause
    assert [sample.value for sample in last.samples] == [1 << 20, 65 << 20]


def test_a_limit_that_is_not_in_force_yet_is_not_held_against_a_sandbox(harness: Harness) -> None:
    harness.declare(document("web", resources={"limits": {"memory": "64Mi"}}))
    harness.advance(2)
    measure(harness, working_set=30 << 20)
    harness.docker.fail("update", ResizePendingError("30Mi are in use"), times=99)
    harness.declare(document("web", resources={"limits": {"memory": "16Mi"}}))
    measure(harness, working_set=30 << 20)
    assert harness.docker.calls.count("kill") == 0
    measure(harness, working_set=65 << 20)
    assert harness.docker.calls.count("kill") == 1


def test_a_kill_by_the_kernel_is_told_and_counted_once_whoever_sees_it_first(harness: Harness) -> None:
    harness.declare(document("web", resources={"limits": {"memory": "64Mi"}}))
    harness.advance(2)
    harness.docker.end(harness.docker.only().id, code=137, signal=9, oom=True)
    harness.wake("web")
    assert harness.recorder.counts["violated memory kill"] == 1
    assert harness.events("web").count("LimitExceeded") == 1
    harness.advance(2)
    harness.clock.advance(2)
    seen = harness.docker.only()
    harness.docker.usages[seen.id] = Usage(harness.clock.now(), 1.0, 1 << 20, 1, oom_kills=1)
    harness.docker.end(seen.id, code=137, signal=9, oom=True)
    harness.loop.tick.run()
    harness.settle()
    assert harness.recorder.counts["violated memory kill"] == 2
    assert harness.docker.calls.count("kill") == 0


def test_a_tick_between_a_creation_and_the_next_look_forgets_no_beginning(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect = harness.docker.inspect

    def inspect_after_a_tick(key: Key) -> tuple[Observed, ...]:
        harness.loop.tick.run()
        return inspect(key)

    monkeypatch.setattr(harness.docker, "inspect", inspect_after_a_tick)
    harness.declare(document("web", resources={"limits": {"memory": "64Mi"}}))
    measure(harness, oom_kills=1)
    assert harness.recorder.counts["violated memory kill"] == 1


def test_a_warning_is_given_once_while_it_lasts(harness: Harness) -> None:
    harness.declare(document("web", resources={"limits": {"memory": "100Mi"}}))
    harness.advance(2)
    for _ in range(5):
        measure(harness, working_set=85 << 20)
    assert harness.recorder.counts["violated memory warn"] == 1
    measure(harness, working_set=10 << 20)
    measure(harness, working_set=85 << 20)
    assert harness.recorder.counts["violated memory warn"] == 2
    assert harness.docker.calls.count("kill") == 0


def test_cpu_is_throttled_in_place_and_released_when_usage_falls(harness: Harness) -> None:
    cpu = {"above": "90%", "for": "6s", "action": "throttle"}
    harness.declare(document("web", enforcement={"cpu": cpu}))
    harness.advance(2)
    spent = 0.0
    for _ in range(6):
        spent += 2.0
        measure(harness, cpu_seconds=spent)
    assert harness.docker.only().limits.cpu == 500
    for _ in range(6):
        spent += 0.2
        measure(harness, cpu_seconds=spent)
    assert harness.docker.only().limits.cpu == 1000
    assert harness.docker.calls.count("start") == 1


def test_a_throttled_sandbox_can_be_restarted_and_stays_throttled(harness: Harness) -> None:
    harness.declare(document("web", enforcement={"cpu": {"above": "90%", "for": "6s", "action": "throttle"}}))
    harness.advance(2)
    for spent in range(2, 14, 2):
        measure(harness, cpu_seconds=float(spent))
    assert harness.docker.only().limits.cpu == 500
    harness.loop.control.restart(harness.key("web"), "by hand")
    harness.settle()
    harness.advance(2)
    assert harness.docker.calls.count("start") == 2
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    assert harness.docker.only().limits.cpu == 500
    harness.loop.control.suspend(harness.key("web"), "by hand")
    with pytest.raises(UsageError, match="is Suspended: by hand"):
        harness.loop.control.restart(harness.key("web"), "by hand")


def test_a_memory_limit_that_has_to_wait_holds_up_no_throttle_nor_its_end(harness: Harness) -> None:
    cpu = {"above": "90%", "for": "6s", "action": "throttle"}
    spec = {"image": "busybox:latest", "enforcement": {"cpu": cpu}}
    harness.declare(document("web", **spec))
    harness.advance(2)
    harness.docker.memory_in_use = 256 << 20
    harness.declare(document("web", **spec, resources={"limits": {"memory": "64Mi"}}))
    assert harness.condition("web", ConditionType.DEGRADED) == ("True", "ResizePending")
    for spent in range(2, 14, 2):
        measure(harness, cpu_seconds=float(spent))
    assert (harness.docker.only().limits.cpu, harness.docker.only().limits.memory) == (500, 512 << 20)
    for calm in range(6):
        measure(harness, cpu_seconds=12 + calm / 10)
    assert harness.docker.only().limits.cpu == 1000
    assert harness.recorder.counts.get("drifted cpu", 0) == 0
    harness.docker.memory_in_use = 0
    harness.advance(60)
    assert harness.docker.only().limits.memory == 64 << 20
    assert harness.condition("web", ConditionType.DEGRADED)[0] == "False"


def test_pids_can_pause_and_resume_thaws(harness: Harness) -> None:
    harness.declare(document("web", enforcement={"pids": {"action": "pause"}}))
    harness.advance(2)
    measure(harness, pids=128)
    assert harness.docker.only().state is InstanceState.PAUSED
    harness.loop.control.resume(harness.key("web"))
    harness.settle()
    assert harness.docker.only().state is InstanceState.RUNNING


def test_a_ttl_ends_a_sandbox_and_keeps_its_workspace_unless_told_otherwise(harness: Harness) -> None:
    harness.declare(document("kept", ttl="1m"), document("gone", ttl="1m", shutdownPolicy="Delete"))
    harness.advance(2)
    for name in ("kept", "gone"):
        harness.workspaces.ensure(harness.entry(name).record.uid, 0, 0)
    harness.advance(60)
    assert harness.docker.instances == {}
    assert harness.condition("kept", ConditionType.FINISHED) == ("True", "Expired")
    assert Path(harness.workspaces.path(harness.entry("kept").record.uid)).exists()
    assert not Path(harness.workspaces.path(harness.entry("gone").record.uid)).exists()
    calls = list(harness.docker.calls)
    harness.advance(600)
    assert harness.docker.calls == calls


def test_a_ttl_that_passed_while_the_machine_slept_ends_a_sandbox_at_the_next_tick(harness: Harness) -> None:
    harness.declare(document("web", ttl="1h"))
    harness.advance(2)
    harness.clock.jump(7200)
    measure(harness)
    assert harness.docker.instances == {}
    assert harness.phase("web") == Phase.SUCCEEDED


def test_a_clock_that_was_set_back_does_not_end_a_sandbox_before_its_time(harness: Harness) -> None:
    harness.declare(document("web", ttl="1h"))
    harness.advance(2)
    harness.clock.jump(-7200)
    harness.advance(3600)
    assert len(harness.docker.instances) == 1
    harness.advance(7200)
    assert harness.docker.instances == {}


def test_delete_refuses_a_declared_sandbox_and_a_hold_keeps_it_away_until_an_edit(harness: Harness) -> None:
    harness.declare(document("web"))
    harness.advance(2)
    with pytest.raises(UsageError, match=r"web\.yaml:1"):
        harness.loop.control.delete(harness.key("web"), hold=False)
    harness.loop.control.delete(harness.key("web"), hold=True)
    harness.settle()
    assert harness.docker.instances == {}
    harness.advance(120)
    assert harness.docker.instances == {}
    harness.declare(document("web", restartPolicy="Never"))
    harness.advance(2)
    assert harness.condition("web", ConditionType.READY)[0] == "True"


def test_delete_releases_one_sandbox_that_the_prune_guard_holds_back(harness: Harness) -> None:
    documents = [document("a"), document("b")]
    harness.declare(*documents)
    harness.advance(2)
    keys = frozenset(each.key for each in documents)
    blocked = Snapshot(
        {each.key: each for each in documents}, prune=PruneBlock("the root vanished", keys, "abc"), synced=True
    )
    harness.source.deliver(blocked)
    harness.settle()
    harness.loop.control.delete(harness.key("a"), hold=False)
    harness.settle()
    assert {seen.owner.key.name for seen in harness.docker.instances.values()} == {"b"}


def test_a_delete_is_undone_by_the_first_edit_though_the_store_was_lost(harness: Harness, tmp_path: Path) -> None:
    for cpu in range(1, 5):
        harness.declare(document("web", resources={"limits": {"cpu": str(cpu)}}))
        harness.advance(2)
    harness.loop.control.delete(harness.key("web"), hold=True)
    harness.settle()
    harness.store.close()
    for file in tmp_path.glob("state.db*"):
        file.unlink()
    harness.restart()
    harness.advance(2)
    assert harness.docker.instances == {}
    harness.declare(document("web", resources={"limits": {"cpu": "5"}}))
    harness.advance(2)
    assert harness.condition("web", ConditionType.READY)[0] == "True"


@pytest.mark.parametrize("how", ["expiry", "delete --hold"])
def test_what_is_brought_down_for_good_leaves_its_last_words(harness: Harness, how: str) -> None:
    harness.declare(document("web", ttl="1h"))
    harness.advance(2)
    if how == "expiry":
        harness.advance(3600)
    else:
        harness.loop.control.delete(harness.key("web"), hold=True)
    harness.settle()
    assert harness.docker.instances == {}
    (kept,) = harness.store.terminations(harness.key("web"))
    assert kept == harness.entry("web").record.last_termination
    assert kept.log_tail == "the last line\n"


def restored(harness: Harness) -> Path:
    """The workspace of a sandbox that was removed and restored, with a file in it."""
    harness.declare(document("web"))
    harness.advance(2)
    workspace = Path(harness.workspaces.ensure(harness.entry("web").record.uid, 0, 0))
    (workspace / "notes").write_text("kept")
    harness.declare()
    harness.loop.control.restore(harness.key("web"))
    harness.settle()
    return workspace


def test_a_ttl_begins_when_a_manifest_takes_up_a_restored_workspace(harness: Harness) -> None:
    workspace = restored(harness)
    harness.advance(7200)
    harness.declare(document("web", ttl="1h", shutdownPolicy="Delete"))
    harness.advance(3590)
    assert harness.condition("web", ConditionType.READY)[0] == "True"
    assert (workspace / "notes").read_text() == "kept"
    harness.advance(20)
    assert not workspace.exists()


def test_a_restored_workspace_that_nobody_takes_up_can_be_deleted_again(harness: Harness) -> None:
    workspace = restored(harness)
    harness.loop.control.delete(harness.key("web"), hold=False)
    harness.settle()
    assert not workspace.exists()
    assert [trashed.key for trashed in harness.workspaces.trashed()] == [harness.key("web")]
    assert harness.world.entry(harness.key("web")) is None


def test_a_deletion_of_a_restored_workspace_that_fails_is_tried_again(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = restored(harness)

    def full(*_: object) -> None:
        raise StateError("no space is left")

    with monkeypatch.context() as patch:
        patch.setattr(WorkspaceFolder, "trash", full)
        harness.loop.control.delete(harness.key("web"), hold=False)
        harness.settle()
    assert workspace.exists()
    harness.advance(600)
    assert not workspace.exists()


def test_a_hold_that_cannot_be_kept_is_refused_and_does_not_hold(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.declare(document("web"))
    harness.advance(2)

    def full(_self: JsonHoldStore, _holds: object) -> None:
        raise StateError("no space is left")

    with monkeypatch.context() as patch:
        patch.setattr(JsonHoldStore, "save", full)
        with pytest.raises(StateError):
            harness.loop.control.suspend(harness.key("web"), "asked by a person")
        harness.advance(1)
        assert harness.docker.only().state is InstanceState.RUNNING
    harness.loop.control.suspend(harness.key("web"), "asked by a person")
    with monkeypatch.context() as patch:
        patch.setattr(JsonHoldStore, "save", full)
        with pytest.raises(StateError):
            harness.loop.control.resume(harness.key("web"))
    harness.settle()
    assert harness.phase("web") == Phase.SUSPENDED
    assert harness.loop.control.resume(harness.key("web")) == ["Suspended"]


def test_holds_of_many_at_once_are_all_kept(harness: Harness) -> None:
    names = [f"s{number}" for number in range(16)]
    harness.declare(*(document(name) for name in names))
    harness.advance(2)
    threads = [
        threading.Thread(target=harness.loop.control.suspend, args=(harness.key(name), "asked")) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    harness.restart()
    assert {hold.key.name for hold in harness.world.all_holds()} == set(names)


def test_a_time_beyond_all_waiting_stops_nobody(harness: Harness) -> None:
    harness.declare(document("web", shutdownTime="9999-12-31T23:59:59Z"), document("other"))
    worker = threading.Thread(target=harness.loop.queue.get, daemon=True)
    harness.settle()
    worker.start()
    harness.loop.queue.add(harness.key("other"))
    worker.join(5)
    assert not worker.is_alive()
