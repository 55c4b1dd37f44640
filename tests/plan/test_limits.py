"""Limits are put in force in place: after an edit, a throttle, or somebody's meddling."""

from __future__ import annotations

from dataclasses import replace

from controller.model.errors import ResizePendingError
from controller.model.hold import HoldType
from controller.model.observed import InstanceState
from controller.model.spec import Limits
from controller.plan.failure import after_failure
from tests.plan.support import Given, desired, ended, given, instance, lines

MI = 1 << 20


def limited(memory: str = "512Mi", cpu: object = "1", pids: int = 128) -> Given:
    return given().desired(image="a", resources={"limits": {"memory": memory, "cpu": cpu, "pids": pids}})


def running_with(situation: Given, limits: Limits) -> Given:
    assert situation.wanted is not None
    return situation.seen(instance(situation.wanted, limits=limits))


def test_a_higher_limit_is_put_in_force_in_place() -> None:
    situation = limited().running()
    edited = situation.desired(image="a", resources={"limits": {"memory": "1Gi", "cpu": "1500m", "pids": 256}})
    assert edited.text() == lines(
        "update docker-a: spec.resources.limits.memory changed 512Mi → 1Gi; "
        "spec.resources.limits.cpu changed 1 → 1500m; spec.resources.limits.pids changed 128 → 256",
        "= Running, ready: Running",
    )
    (update,) = edited.plan().operations
    assert update.limits is not None
    assert (update.limits.memory, update.limits.cpu, update.limits.pids) == (1024 * MI, 1500, 256)
    assert update.drifted == ()


def test_a_lower_limit_is_put_in_force_in_place() -> None:
    edited = limited().running().desired(image="a", resources={"limits": {"memory": "64Mi"}})
    assert edited.text() == lines(
        "update docker-a: spec.resources.limits.memory changed 512Mi → 64Mi", "= Running, ready: Running"
    )


def test_a_limit_that_may_be_refused_is_lowered_last_and_alone() -> None:
    situation = limited().running()
    edited = situation.desired(image="a", resources={"limits": {"memory": "64Mi", "cpu": "500m", "pids": 256}})
    assert edited.text() == lines(
        "update docker-a: spec.resources.limits.cpu changed 1 → 500m; spec.resources.limits.pids changed 128 → 256",
        "update docker-a: spec.resources.limits.memory changed 512Mi → 64Mi",
        "= Running, ready: Running",
    )
    first, last = (operation.limits for operation in edited.plan().operations)
    assert last is not None
    assert first == replace(last, memory=512 * MI)


def test_a_refused_limit_leaves_the_others_in_force() -> None:
    situation = limited().running().held(HoldType.THROTTLED, "cpu: hot", 250)
    edited = situation.desired(image="a", resources={"limits": {"memory": "64Mi", "cpu": "500m", "pids": 256}})
    record = after_failure(edited.view(), ResizePendingError("in use"))
    assert record.throttled_to == 250
    assert record.applied is not None
    assert (record.applied.memory, record.applied.cpu, record.applied.pids) == (512 * MI, 500, 256)


def test_limits_count_as_in_force_only_after_the_update() -> None:
    edited = limited().running().desired(image="a", resources={"limits": {"memory": "64Mi"}})
    plan = edited.plan()
    assert plan.record.applied == desired(image="a").spec.limits
    assert plan.after is not None
    assert plan.after.applied is not None
    assert plan.after.applied.memory == 64 * MI


def test_a_limit_of_disk_or_open_files_is_not_the_engines() -> None:
    situation = running_with(limited(), Limits(512 * MI, 1000, 128, disk=None, open_files=None)).settled()
    assert situation.text() == "= Running, ready: Running"


def test_cpu_beyond_the_machine_is_clamped_and_not_drift() -> None:
    assert running_with(limited(cpu="64"), Limits(512 * MI, 4000, 128)).text() == "= Running, ready: Running"
    meddled = running_with(limited(cpu="64"), Limits(512 * MI, 1000, 128)).settled()
    assert meddled.text() == lines(
        "update docker-a: cpu limit was changed from outside to 1, 4 is wanted", "= Running, ready: Running"
    )


def test_limits_changed_from_outside_are_drift_by_field() -> None:
    for limits, cause, field in (
        (Limits(256 * MI, 1000, 128), "memory limit was changed from outside to 256Mi, 512Mi is wanted", "memory"),
        (Limits(512 * MI, 500, 128), "cpu limit was changed from outside to 500m, 1 is wanted", "cpu"),
        (Limits(512 * MI, 1000, None), "pids limit was changed from outside to none, 128 is wanted", "pids"),
    ):
        situation = running_with(limited(), limits).settled()
        assert situation.text() == lines(f"update docker-a: {cause}", "= Running, ready: Running")
        assert [operation.drifted for operation in situation.plan().operations] == [(field,)]


def test_a_limit_the_runtime_cannot_update_is_left_alone() -> None:
    situation = running_with(limited(), Limits(1, 1, 1)).settled().able(updatable=frozenset({"cpu"}))
    assert situation.text() == lines(
        "update docker-a: cpu limit was changed from outside to 1m, 1 is wanted", "= Running, ready: Running"
    )


def test_a_throttle_lowers_cpu_and_its_end_restores_it_without_being_drift() -> None:
    cause = "cpu: 990m of 1, above 95% for 1m"
    throttled = limited().running().held(HoldType.THROTTLED, cause, 500)
    assert throttled.text() == lines(f"update docker-a: {cause}: cpu 1 → 500m", "= Running, ready: Running")
    after = throttled.plan().after
    assert after is not None
    assert after.throttled_to == 500
    lowered = running_with(limited(), Limits(512 * MI, 500, 128)).settled().record(throttled_to=500)
    assert lowered.text() == lines("update docker-a: no longer throttled: cpu 500m → 1", "= Running, ready: Running")
    assert lowered.plan().operations[0].drifted == ()
    assert lowered.held(HoldType.THROTTLED, cause, 500).text() == "= Running, ready: Running"


def test_a_throttle_undone_from_outside_is_drift() -> None:
    held = limited().running().record(throttled_to=500).held(HoldType.THROTTLED, "cpu: hot", 500)
    assert [operation.drifted for operation in held.plan().operations] == [("cpu",)]


def test_the_end_of_a_throttle_without_a_cpu_limit_gives_back_the_whole_machine() -> None:
    unlimited = running_with(limited(cpu=None), Limits(512 * MI, 500, 128)).settled().record(throttled_to=500)
    assert unlimited.text() == lines("update docker-a: no longer throttled: cpu 500m → 4", "= Running, ready: Running")
    assert running_with(limited(cpu=None), Limits(512 * MI, 4000, 128)).text() == "= Running, ready: Running"


def test_a_limit_is_put_in_force_before_a_restart() -> None:
    edited = limited(memory="1Gi")
    assert edited.wanted is not None
    ended_instance = instance(
        edited.wanted, InstanceState.EXITED, limits=Limits(512 * MI, 1000, 128), exit=ended(1, ago=5)
    )
    situation = edited.seen(ended_instance).settled().record(handled_exit="docker-a@1799999995.000")
    assert situation.record(applied=None).text() == lines(
        "update docker-a: spec.resources.limits.memory changed 512Mi → 1Gi",
        "start docker-a: it is to run",
        "= Creating, not ready: Starting",
    )


def test_a_paused_sandbox_waits_with_its_limits_for_the_resume() -> None:
    held = limited().running(state=InstanceState.PAUSED).record(frozen=True).held(HoldType.PAUSED, "pids: full")
    assert (
        held.desired(image="a", resources={"limits": {"memory": "64Mi"}}).text()
        == "= Suspended, not ready: Paused (pids: full); suspended"
    )
