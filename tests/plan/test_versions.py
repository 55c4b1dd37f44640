"""Another version hashes other fields: what it made and accepted stays as it is until its manifest is edited."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controller.model.identity import digest_of
from controller.model.observed import InstanceState, Observed
from controller.model.record import Record
from controller.model.spec import Desired
from controller.plan.acceptance import accept, recover
from tests.plan.simulation import Simulation
from tests.plan.support import NOW, accepted, desired, given, instance


def made_before(seen: Observed, **unknown: Any) -> Observed:
    """The same as an older version made it, which knew neither of that field nor of `user`."""
    template = {name: value for name, value in seen.template.items() if name != "user"} | unknown
    return replace(seen, template=template, owner=replace(seen.owner, spec_hash=f"v0:{digest_of(template)}"))


def accepted_before(wanted: Desired, **changes: Any) -> Record:
    """Its record as an older version kept it, which did not know `restartPolicy`."""
    spec = {name: value for name, value in wanted.document["spec"].items() if name != "restartPolicy"}
    record = accepted(wanted)
    return replace(record, resolved_hash="v0:1", document={**record.document, "spec": spec}, **changes)


def upgraded(**spec: Any) -> Simulation:
    """It has run under an older version, and runs on under this one."""
    simulation = Simulation()
    simulation.edit(image="a", **spec)
    simulation.rest()
    simulation.instances = {id: made_before(seen) for id, seen in simulation.instances.items()}
    simulation.trace.clear()
    return simulation


def test_what_another_version_made_runs_on() -> None:
    simulation = upgraded()
    simulation.rest()
    assert simulation.trace == ["= Running, ready: Running"]


def test_it_is_replaced_where_a_field_that_both_know_differs() -> None:
    older = made_before(instance(desired(image="a")))
    assert given().desired(image="b").seen(older).text().splitlines()[0].startswith("prepare: spec.image changed a → b")
    one_mount_more = {"filesystem": {"tmpfs": {"/tmp": "1Mi", "/more": "1Mi"}}}
    older = made_before(instance(desired(image="a", filesystem={"tmpfs": {"/tmp": "1Mi"}})))
    assert given().desired(image="a", **one_mount_more).seen(older).text().startswith("prepare: spec.filesystem.tmpfs")


def test_a_later_edit_of_a_field_that_it_did_not_know_is_carried_out_once() -> None:
    simulation = upgraded()
    simulation.rest()
    simulation.edit(image="a", user="7:7")
    simulation.rest()
    assert "prepare: spec.user changed none → 7:7" in simulation.trace[1]
    (running,) = simulation.unfrozen()
    assert running.owner.spec_hash == desired(image="a", user="7:7").spec_hash
    assert len(simulation.instances) == 1


def test_one_of_which_nothing_can_be_read_is_replaced() -> None:
    seen = instance(desired(image="a"))
    unreadable = replace(seen, template={}, owner=replace(seen.owner, spec_hash=""))
    assert given().desired(image="a").seen(unreadable).text().startswith("prepare: ")


def test_one_that_can_never_run_is_not_tried_for_ever() -> None:
    simulation = upgraded(command=["nope"])
    simulation.rest()
    simulation.instances = {id: replace(seen, started_at=simulation.now) for id, seen in simulation.instances.items()}
    simulation.end(127)
    simulation.rest()
    (seen,) = simulation.instances.values()
    assert seen.state is InstanceState.EXITED
    assert simulation.record is not None
    assert simulation.record.failed_hash == desired(image="a", command=["nope"]).spec_hash


def test_an_upgrade_is_no_edit() -> None:
    wanted = desired(image="a")
    before = accepted_before(wanted, generation=3, finished="Succeeded")
    after = accept(before, wanted, "uid-9", NOW)
    assert (after.generation, after.finished, after.resolved_hash) == (3, "Succeeded", wanted.resolved_hash)
    edited = accept(after, desired(image="a", restartPolicy="Never"), "uid-9", NOW)
    assert (edited.generation, edited.finished) == (4, "")


def test_an_edit_made_with_the_upgrade_is_one() -> None:
    before = accepted_before(desired(image="a"))
    assert accept(before, desired(image="b"), "uid-9", NOW).generation == 2
    labelled = replace(desired(image="a"), labels={"team": "research"})
    assert accept(before, labelled, "uid-9", NOW).generation == 2


def test_a_lost_store_is_rebuilt_from_what_another_version_made() -> None:
    wanted = desired(image="a")
    record = recover([made_before(instance(wanted, generation=4))], wanted, NOW)
    assert record is not None
    assert record.generation == 4
