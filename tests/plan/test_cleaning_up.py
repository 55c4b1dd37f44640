"""What is cleaned up by itself, where it is asked for: orphans, and workspaces that expiry has retained."""

from __future__ import annotations

import pytest

from controller.model.cleanup import NO_CLEANUP, CleanupPolicy
from tests.plan.support import NOW, Given, given, lines

DAY = 86400.0
ORPHANS = CleanupPolicy(orphans_after=7 * DAY)
WORKSPACES = CleanupPolicy(workspaces_after=30 * DAY)


def orphan(policy: CleanupPolicy) -> Given:
    """It was first seen ten minutes ago, and nobody knows it."""
    return given().desired(image="a").running().record(origin="", document={}).undeclared().but(cleanup=policy)


def expired(policy: CleanupPolicy, **spec: str) -> Given:
    """Its time was over a minute after it was accepted, and nothing of it runs any more."""
    return given().desired(image="a", ttl="1m", **spec).but(cleanup=policy)


def test_an_orphan_stays_for_its_time_and_goes_then_to_the_trash() -> None:
    situation = orphan(ORPHANS)
    plan = situation.plan()
    assert (plan.operations, plan.requeue_at) == ((), NOW - 600 + 7 * DAY)
    cause = "no manifest has declared it for 7d: cleanup.orphans-after"
    assert situation.later(7 * DAY - 600).text() == lines(
        f"stop docker-a: {cause}",
        f"remove docker-a: {cause}",
        f"trash: {cause}",
        f"= Terminating, not ready: Removed ({cause})",
    )


def test_a_retained_workspace_stays_for_its_time_and_goes_then_to_the_trash_once() -> None:
    situation = expired(WORKSPACES)
    plan = situation.plan()
    assert (plan.operations, plan.requeue_at) == ((), NOW - 540 + 30 * DAY)
    due = situation.later(30 * DAY)
    assert due.text().splitlines()[0] == "trash: its workspace was retained for 30d: cleanup.workspaces-after"
    after = due.plan().after
    assert after is not None
    assert due.record(erased=after.erased).plan().operations == ()


def test_one_that_still_has_an_instance_loses_it_first() -> None:
    due = given().desired(image="a", ttl="1m").running().but(cleanup=WORKSPACES).later(30 * DAY)
    assert [str(operation.verb) for operation in due.plan().operations] == ["stop"]


@pytest.mark.parametrize("situation", [orphan(NO_CLEANUP), orphan(WORKSPACES), expired(NO_CLEANUP), expired(ORPHANS)])
def test_without_being_asked_nothing_goes_however_long_it_lasts(situation: Given) -> None:
    assert situation.later(3650 * DAY).plan().operations == ()


def test_a_sandbox_that_is_wanted_is_never_an_orphan() -> None:
    kept = given().desired(image="a").running().but(cleanup=CleanupPolicy(orphans_after=0.0, workspaces_after=0.0))
    assert kept.later(3650 * DAY).plan().operations == ()
