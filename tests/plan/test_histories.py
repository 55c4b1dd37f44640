"""Any history of edits, ends, meddling, holds, failures and crashes keeps the invariants and ends as it should."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.model.errors import (
    CannotRunError,
    EngineTimeoutError,
    EngineUnavailableError,
    ImageUnavailableError,
    RuntimeFailure,
)
from controller.model.hold import HoldType
from controller.model.observed import InstanceState
from controller.model.operation import Verb
from controller.model.spec import Limits
from tests.plan.simulation import Simulation, until_crash
from tests.plan.support import desired

PORTS = {"mode": "bridge", "ports": [{"containerPort": 80, "hostPort": 8080}]}
SPECS = {
    "a": desired(image="a"),
    "b": desired(image="b"),
    "b larger": desired(image="b", resources={"limits": {"memory": "1Gi", "cpu": "2"}}),
    "unlimited": desired(image="a", resources={"limits": {"cpu": None}}),
    "a on a port": desired(image="a", network=PORTS),
    "b on a port": desired(image="b", network=PORTS),
    "once": desired(image="a", restartPolicy="Never"),
    "on failure": desired(image="b", restartPolicy="OnFailure"),
    "directory": desired(isolation="directory", command=["serve"]),
    "idle": desired(isolation="directory"),
    "either": desired(image="a", fallback="directory", command=["serve"]),
    "either, idle": desired(image="a", fallback="directory"),
    "suspended": desired(image="a", operatingMode="Suspended"),
    "frozen": desired(image="b", operatingMode="Suspended", suspend={"mode": "Freeze"}),
}
FAILURES = {
    "failure": RuntimeFailure("by a test"),
    "cannot run": CannotRunError("by a test"),
    "timeout": EngineTimeoutError("by a test"),
    "no image": ImageUnavailableError("by a test"),
    "no engine": EngineUnavailableError("by a test"),
}


def _fail(simulation: Simulation, what: str) -> None:
    verb, _, failure = what.partition(" with ")
    simulation.fail(Verb(verb), FAILURES[failure], times=1)


def _crash(simulation: Simulation, steps: str) -> None:
    simulation.crash_at = simulation.steps + int(steps)
    until_crash(simulation, Simulation.settle)


def _end(simulation: Simulation, how: str) -> None:
    simulation.end(137 if how in ("oom", "engine") else int(how), oom=how == "oom", engine_restarted=how == "engine")


ACTS: dict[str, Callable[[Simulation, str], object]] = {
    "declare": lambda simulation, name: simulation.declare(SPECS.get(name)),
    "settle": lambda simulation, _: simulation.settle(),
    "wait": lambda simulation, seconds: simulation.rest(float(seconds)),
    "crash": _crash,
    "end": _end,
    "hold": lambda simulation, type_: simulation.hold(HoldType(type_), 250 if type_ == "Throttled" else None),
    "resume": lambda simulation, _: simulation.resume(),
    "ask": lambda simulation, verb: simulation.ask(verb),
    "meddle": lambda simulation, how: simulation.meddle(
        how.split()[1], InstanceState(how.split()[0]) if how.split()[0] != "remove" else None
    ),
    "relimit": lambda simulation, cpu: simulation.relimit(Limits(64 << 20, int(cpu), 7)),
    "engine": lambda simulation, how: simulation.reach("docker", how == "back"),
    "supervisor": lambda simulation, how: simulation.reach("directory", how == "back"),
    "depend": lambda simulation, how: setattr(simulation, "waiting_for", ("default/db",) if how == "waiting" else ()),
    "lack": lambda simulation, image: simulation.fail(Verb.PREPARE, FAILURES["no image"], image),
    "fail": _fail,
}


def events() -> st.SearchStrategy[str]:
    choices = {
        "declare": [*SPECS, *SPECS, "nothing"],
        "settle": ["now"],
        "wait": ["0.5", "2", "400"],
        "crash": [str(steps) for steps in range(9)],
        "end": ["0", "1", "127", "oom", "engine"],
        "hold": [str(type_) for type_ in HoldType],
        "resume": ["all"],
        "ask": ["restart", "kill"],
        "meddle": [
            f"{how} {runtime}" for how in ("Paused", "Running", "remove") for runtime in ("docker", "directory")
        ],
        "relimit": ["100"],
        "engine": ["away", "back"],
        "supervisor": ["away", "back"],
        "depend": ["waiting", "ready"],
        "lack": ["a", "b"],
        "fail": [f"{verb} with {failure}" for verb in ("prepare", "create", "start", "pause") for failure in FAILURES],
    }
    return st.sampled_from(sorted(choices)).flatmap(
        lambda verb: st.sampled_from(choices[verb]).map(lambda what: f"{verb} {what}")
    )


def play(history: list[str]) -> Simulation:
    simulation = Simulation()
    simulation.declare(SPECS["a"])
    for event in history:
        verb, _, what = event.partition(" ")
        ACTS[verb](simulation, what)
        simulation.trace.append(f"--- {event}")
    return simulation


def calm(simulation: Simulation) -> None:
    """Everything that was in the way ends."""
    simulation.fails.clear()
    simulation.waiting_for, simulation.intent = (), None
    simulation.reach("docker", True)
    simulation.reach("directory", True)
    simulation.resume()
    simulation.now += 1
    simulation.rest()


@settings(max_examples=300, deadline=None)
@given(st.lists(events(), max_size=14))
def test_any_history_comes_to_the_right_rest(history: list[str]) -> None:
    simulation = play(history)
    calm(simulation)
    story = "\n".join([str(history), *simulation.trace])
    record, wanted, seen = simulation.record, simulation.wanted, list(simulation.instances.values())
    if wanted is None:
        assert (record, seen) == (None, []), story
        return
    assert record is not None
    failed = record.failed_hash == wanted.spec_hash
    suspended = wanted.spec.lifecycle.operating_mode == "Suspended"
    if suspended or record.finished or (failed and not simulation.unfrozen()):
        assert simulation.unfrozen() == [], story
    else:
        (running,) = seen
        assert running.state is InstanceState.RUNNING, story
        assert record.replacing is None, story
        assert (running.owner.spec_hash == wanted.spec_hash) is not failed, story
        assert (record.instance_id, record.runtime, record.ending) == (running.id, running.runtime, None), story


@settings(max_examples=100, deadline=None)
@given(st.lists(events(), max_size=10), st.integers(0, 6))
def test_a_crash_after_any_history_changes_nothing_of_its_end(history: list[str], steps: int) -> None:
    undisturbed, disturbed = play(history), play(history)
    calm(undisturbed)
    disturbed.fails.clear()
    disturbed.intent = None
    disturbed.crash_at = disturbed.steps + steps
    until_crash(disturbed, calm)
    calm(disturbed)
    states = [sorted(str(seen.state) for seen in each.instances.values()) for each in (undisturbed, disturbed)]
    assert states[0] == states[1], "\n".join([str(history), *disturbed.trace])
