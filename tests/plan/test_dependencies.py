"""dependsOn over several sandboxes."""

from __future__ import annotations

from controller.model.identity import Key, sandbox_key
from controller.model.spec import Desired
from controller.plan.dependencies import cycle_of, dependents_of, entangled, waiting_for
from tests.plan.support import desired


def declared(**depends_on: list[str]) -> dict[Key, Desired]:
    """Sandboxes of these names, each depending on those."""
    keys = [sandbox_key("default", name) for name in depends_on]
    return {key: desired(key, dependsOn=depends_on[key.name]) for key in keys}


def key(name: str) -> Key:
    return sandbox_key("default", name)


def test_it_waits_for_what_is_not_ready_and_names_what_nobody_declares() -> None:
    sandboxes = declared(app=["db", "cache", "other/gone"], db=[], cache=[])
    waiting = waiting_for(sandboxes[key("app")], sandboxes, lambda dependency: dependency.name == "cache")
    assert waiting == ("default/db", "other/gone (no manifest declares it)")


def test_dependents_are_those_that_name_it() -> None:
    assert dependents_of(key("db"), declared(app=["db"], web=["app"], db=[])) == (key("app"),)


def test_a_cycle_is_spelt_out_from_each_of_its_members() -> None:
    sandboxes = declared(a=["b"], b=["c"], c=["a"], outside=["a"])
    assert cycle_of(key("a"), sandboxes) == "default/a → default/b → default/c → default/a"
    assert cycle_of(key("c"), sandboxes) == "default/c → default/a → default/b → default/c"
    assert cycle_of(key("outside"), sandboxes) == ""


def test_the_shortest_cycle_is_told() -> None:
    assert cycle_of(key("a"), declared(a=["b", "c"], b=["c"], c=["a"])) == "default/a → default/c → default/a"


def test_no_order_starts_a_cycle_or_what_waits_for_one() -> None:
    sandboxes = declared(a=["b"], b=["a"], waits=["a"], itself=["itself"], free=["db", "gone"], db=[])
    assert {each.name for each in entangled(sandboxes)} == {"a", "b", "waits", "itself"}


def test_a_diamond_is_no_cycle() -> None:
    assert cycle_of(key("a"), declared(a=["b", "c"], b=["d"], c=["d"], d=[])) == ""


def test_a_chain_of_thousands_is_followed_to_its_end() -> None:
    names = [f"s{number}" for number in range(3000)]
    chain = declared(**{name: [following] for name, following in zip(names, [*names[1:], names[0]], strict=True)})
    assert cycle_of(key("s0"), chain).count("→") == 3000
