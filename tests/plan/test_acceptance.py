"""What becomes of a record as manifests come, change and are met again."""

from __future__ import annotations

from dataclasses import replace

from controller.model.hold import Hold, HoldType
from controller.plan.acceptance import accept, recover, recover_undeclared, released_by_edit
from tests.plan.support import KEY, NOW, accepted, desired, instance


def test_the_first_acceptance_mints_the_uid() -> None:
    record = accept(None, desired(image="a"), "uid-9", NOW)
    assert (record.uid, record.generation, record.accepted_at, record.attempt_since) == ("uid-9", 1, NOW, NOW)


def test_an_unchanged_spec_changes_nothing() -> None:
    record = accepted(desired(image="a"))
    assert accept(record, desired(image="a"), "uid-9", NOW + 5) == record


def test_an_edit_raises_the_generation_keeps_the_uid_and_forgives() -> None:
    failed = replace(
        accepted(desired(image="a")),
        failed_hash="x",
        failure="no",
        finished="Failed",
        crash_streak=5,
        restart_after=NOW + 99,
        restarts=7,
        ready_once=True,
        erased=True,
    )
    record = accept(failed, desired(image="b"), "uid-9", NOW + 5)
    assert (record.uid, record.generation, record.accepted_at, record.attempt_since) == ("uid-1", 2, NOW, NOW + 5)
    assert (record.failed_hash, record.failure, record.finished, record.erased) == ("", "", "", False)
    assert (record.crash_streak, record.restart_after, record.ready_once, record.restarts) == (0, 0.0, False, 7)


def test_a_lost_store_is_rebuilt_from_the_newest_instance() -> None:
    a, b = desired(image="a"), desired(image="b")
    seen = (instance(a, generation=3, uid="uid-7"), instance(b, slot="b", generation=4, uid="uid-7"))
    record = recover(seen, b, NOW)
    assert record is not None
    assert (record.uid, record.generation, record.instance_id, record.runtime) == ("uid-7", 4, "docker-b", "docker")
    edited = recover(seen, desired(image="c"), NOW)
    assert edited is not None
    assert edited.generation == 5
    assert recover((), b, NOW) is None


def test_what_neither_manifest_nor_store_knows_is_still_ours() -> None:
    record = recover_undeclared((instance(desired(image="a"), uid="uid-7"),), NOW)
    assert record is not None
    assert (record.uid, record.resolved_hash, record.runtime) == ("uid-7", "", "docker")
    assert recover_undeclared((), NOW) is None


def test_an_edit_ends_stops_and_deletes_made_before_it() -> None:
    holds = tuple(Hold(KEY, type_, "by ada", NOW, 2) for type_ in HoldType)
    record = replace(accepted(desired(image="a")), generation=2)
    ended = [hold.type for hold in released_by_edit(holds, replace(record, generation=3))]
    assert ended == [HoldType.STOPPED, HoldType.DELETED]
    assert released_by_edit(holds, record) == ()


def test_an_edit_is_known_by_what_it_changes_where_the_generations_were_lost() -> None:
    before, after = accepted(desired(image="a")), accepted(desired(image="b"))
    hold = Hold(KEY, HoldType.DELETED, "by ada", NOW, 4, resolved_hash=before.resolved_hash)
    assert released_by_edit([hold], before) == ()
    assert released_by_edit([hold], after) == (hold,)
    of_another_version = replace(hold, resolved_hash="v0:1")
    assert released_by_edit([of_another_version], after) == ()
    assert released_by_edit([of_another_version], replace(after, generation=5)) == (of_another_version,)
