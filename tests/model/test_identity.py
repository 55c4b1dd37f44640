"""Names, keys and hashes: the same today, tomorrow and on another machine."""

from __future__ import annotations

import re

from controller.model.conditions import Condition, ConditionType, condition_of
from controller.model.hold import Hold, HoldType, Release
from controller.model.identity import digest_of, instance_name, other_slot, sandbox_key, spec_hash


def test_a_name_is_made_of_what_it_names_and_of_a_digest() -> None:
    name = instance_name("6f1c", sandbox_key("default", "web"), "a")
    assert name == "sandbox-default-web-a0c865fd"
    assert re.fullmatch(r"sandbox-default-web-[0-9a-f]{8}", name)


def test_every_part_of_an_identity_changes_the_name() -> None:
    web = sandbox_key("default", "web")
    names = {
        instance_name("6f1c", web, "a"),
        instance_name("6f1c", web, "b"),
        instance_name("6f1d", web, "a"),
        instance_name("6f1c", web._replace(kind="SandboxPool"), "a"),
        instance_name("6f1c", sandbox_key("default-web", "x"), "a"),
        instance_name("6f1c", sandbox_key("default", "web-x"), "a"),
    }
    assert len(names) == 6


def test_slots_alternate() -> None:
    assert (other_slot("a"), other_slot("b")) == ("b", "a")


def test_a_key_reads_as_people_write_it() -> None:
    assert str(sandbox_key("team", "web")) == "sandbox team/web"


def test_a_hash_is_versioned_and_blind_to_the_order_of_keys() -> None:
    assert spec_hash({"a": 1, "b": [1, 2]}) == spec_hash({"b": [1, 2], "a": 1})
    assert spec_hash({"b": [2, 1]}) != spec_hash({"b": [1, 2]})
    assert re.fullmatch(r"v1:[0-9a-f]{16}", spec_hash({}))
    assert digest_of({"name": "größe"}) == digest_of({"name": "größe"})


def test_a_condition_is_found_by_its_type() -> None:
    ready = Condition(ConditionType.READY, "True", "Running")
    assert condition_of((Condition(ConditionType.ACCEPTED, "True", "Accepted"), ready), ConditionType.READY) is ready
    assert condition_of((), ConditionType.READY) is None


def test_every_hold_says_what_ends_it() -> None:
    releases = {type_: Hold(sandbox_key("default", "web"), type_, "by ada", 0.0, 1).release for type_ in HoldType}
    assert releases[HoldType.THROTTLED] is Release.HYSTERESIS
    assert releases[HoldType.SUSPENDED] is Release.RESUME
    assert releases[HoldType.STOPPED] is Release.EDIT_OR_RESUME
