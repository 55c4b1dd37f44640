"""The daemon may die before any save and any operation: what it began comes to the same end, whenever it is back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from controller.model.errors import CannotRunError, EngineTimeoutError, RuntimeFailure
from controller.model.hold import HoldType
from controller.model.observed import InstanceState
from controller.model.operation import Verb
from controller.model.spec import Limits
from tests.plan.simulation import Simulation, until_crash

Act = Callable[[Simulation], object]
PORTS = {"network": {"mode": "bridge", "ports": [{"containerPort": 80, "hostPort": 8080}]}}


@dataclass(frozen=True)
class Scenario:
    """What led here, what happens, and what follows; crashes are tried in all that the daemon does about the last two.

    `ends` are the states in which the instances must be at the end.
    """

    before: tuple[Act, ...]
    happens: tuple[Act, ...]
    ends: tuple[str, ...]


def edit(**spec: object) -> Act:
    return lambda simulation: simulation.edit(**spec)


def hold(type_: HoldType, value: int | None = None) -> Act:
    return lambda simulation: simulation.hold(type_, value)


def fail(verb: Verb, failure: type[RuntimeFailure], image: str = "", times: int = 1000) -> Act:
    return lambda simulation: simulation.fail(verb, failure("by a test"), image, times)


@dataclass(frozen=True)
class quickly:  # noqa: N801 - reads as a word before an act
    """An act after which no time passes, so that what it begins is still under way."""

    act: Act

    def __call__(self, simulation: Simulation) -> None:
        self.act(simulation)
        simulation.settle()


def end(code: int, **how: bool) -> Act:
    return lambda simulation: simulation.end(code, **how)


def reach(available: bool) -> Act:
    return lambda simulation: simulation.reach("docker", available)


def resume(simulation: Simulation) -> None:
    simulation.resume()


def undeclare(simulation: Simulation) -> None:
    simulation.declare(None)


A = edit(image="a")
B = edit(image="b")
DIRECTORY = edit(isolation="directory", command=["serve"])
IDLE_DIRECTORY = edit(isolation="directory")
OFFERS_FALLBACK = edit(image="a", fallback="directory", command=["serve"])

SCENARIOS = {
    "create": Scenario((), (A,), ("Running",)),
    "create a directory": Scenario((), (DIRECTORY,), ("Running",)),
    "create an idle directory": Scenario((), (IDLE_DIRECTORY,), ("Running",)),
    "create in spite of failures": Scenario((), (A, fail(Verb.CREATE, RuntimeFailure, times=2)), ("Running",)),
    "create what cannot run": Scenario((), (A, fail(Verb.START, CannotRunError)), ("Created",)),
    "replace": Scenario((A,), (B,), ("Running",)),
    "replace one that holds the port": Scenario((edit(image="a", **PORTS),), (edit(image="b", **PORTS),), ("Running",)),
    "replace a container by a directory": Scenario((A,), (DIRECTORY,), ("Running",)),
    "replace a container by an idle directory": Scenario((A,), (IDLE_DIRECTORY,), ("Running",)),
    "replace a directory by a container": Scenario((DIRECTORY,), (A,), ("Running",)),
    "replace an idle directory by a container": Scenario((IDLE_DIRECTORY,), (A,), ("Running",)),
    "replace one that has ended": Scenario((edit(image="a", restartPolicy="Never"), end(0)), (B,), ("Running",)),
    "roll back a start that fails": Scenario((A,), (B, fail(Verb.START, RuntimeFailure, "b")), ("Running",)),
    "roll back a create that fails": Scenario((A,), (B, fail(Verb.CREATE, RuntimeFailure, "b")), ("Running",)),
    "roll back what cannot run": Scenario((A,), (B, fail(Verb.PREPARE, CannotRunError, "b")), ("Running",)),
    "roll back to one that held the port": Scenario(
        (edit(image="a", **PORTS),), (edit(image="b", **PORTS), fail(Verb.START, RuntimeFailure, "b")), ("Running",)
    ),
    "roll back to a directory": Scenario((DIRECTORY,), (A, fail(Verb.CREATE, RuntimeFailure, "a")), ("Running",)),
    "call a replacement off": Scenario((A, quickly(B)), (A,), ("Running",)),
    "edit a replacement under way": Scenario((A, quickly(B)), (edit(image="c"),), ("Running",)),
    "hang and go on": Scenario((A,), (B, fail(Verb.START, EngineTimeoutError, times=2)), ("Running",)),
    "remove": Scenario((A,), (undeclare,), ()),
    "remove a paused one": Scenario((A, hold(HoldType.PAUSED)), (undeclare,), ()),
    "remove a replacement under way": Scenario((A, quickly(B)), (undeclare,), ()),
    "remove an idle directory": Scenario((IDLE_DIRECTORY,), (undeclare,), ()),
    "update": Scenario((A,), (edit(image="a", resources={"limits": {"cpu": "2", "memory": "1Gi"}}),), ("Running",)),
    "throttle": Scenario((A,), (hold(HoldType.THROTTLED, 250),), ("Running",)),
    "end a throttle": Scenario((A, hold(HoldType.THROTTLED, 250)), (resume,), ("Running",)),
    "suspend": Scenario((A,), (edit(image="a", operatingMode="Suspended"),), ("Exited",)),
    "suspend an idle directory": Scenario(
        (IDLE_DIRECTORY,), (edit(isolation="directory", operatingMode="Suspended"),), ("Exited",)
    ),
    "freeze": Scenario((A,), (edit(image="a", operatingMode="Suspended", suspend={"mode": "Freeze"}),), ("Paused",)),
    "suspend a replacement under way": Scenario((A, quickly(B)), (hold(HoldType.SUSPENDED),), ("Exited",) * 2),
    "resume": Scenario((A, hold(HoldType.SUSPENDED)), (resume,), ("Running",)),
    "resume an idle directory": Scenario((IDLE_DIRECTORY, hold(HoldType.SUSPENDED)), (resume,), ("Running",)),
    "resume from a pause": Scenario((A, hold(HoldType.PAUSED)), (resume,), ("Running",)),
    "resume a replacement under way": Scenario((A, quickly(B), hold(HoldType.SUSPENDED)), (resume,), ("Running",)),
    "resume into another spec": Scenario((A, hold(HoldType.SUSPENDED), B), (resume,), ("Running",)),
    "stop for a limit": Scenario((A,), (hold(HoldType.STOPPED),), ("Exited",)),
    "delete and keep the manifest": Scenario((A,), (hold(HoldType.DELETED),), ()),
    "come back after a delete": Scenario((A, hold(HoldType.DELETED)), (resume,), ("Running",)),
    "expire": Scenario((A,), (edit(image="a", ttl="1s", shutdownPolicy="Delete"),), ()),
    "restart after an end": Scenario((A,), (end(1),), ("Running",)),
    "finish": Scenario((edit(image="a", restartPolicy="Never"),), (end(0),), ("Exited",)),
    "outlive the engine": Scenario(
        (edit(image="a", restartPolicy="Never"),), (end(137, engine_restarted=True),), ("Running",)
    ),
    "thaw what was paused from outside": Scenario(
        (A,), (lambda simulation: simulation.meddle("docker", InstanceState.PAUSED),), ("Running",)
    ),
    "make again what was removed from outside": Scenario(
        (A,), (lambda simulation: simulation.meddle("docker", None),), ("Running",)
    ),
    "put limits back": Scenario((A,), (lambda simulation: simulation.relimit(Limits(1, 2, 3)),), ("Running",)),
    "fall back": Scenario((reach(False),), (OFFERS_FALLBACK,), ("Running",)),
    "return from a fallback": Scenario((reach(False), OFFERS_FALLBACK), (reach(True),), ("Running",)),
}


def begun(scenario: Scenario) -> Simulation:
    """A simulation where the scenario has led so far, at rest but for what was done quickly."""
    simulation = Simulation()
    for act in scenario.before:
        act(simulation)
        if not isinstance(act, quickly):
            simulation.rest()
    for act in scenario.happens:
        act(simulation)
    return simulation


def undisturbed(scenario: Scenario) -> Simulation:
    simulation = begun(scenario)
    simulation.rest()
    return simulation


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_comes_to_its_end_and_stays_there(name: str) -> None:
    simulation = undisturbed(SCENARIOS[name])
    states = tuple(sorted(str(seen.state) for seen in simulation.instances.values()))
    assert states == SCENARIOS[name].ends, simulation.trace
    done, record = len(simulation.trace), simulation.record
    simulation.now += 5000
    plan = simulation.settle()
    assert plan is None or not plan.operations
    assert simulation.record == record
    assert len(simulation.trace) <= done + 1


# Past its startupDeadline a replacement that fails once more is given up: that is another end.
DOWNTIMES = [(name, seconds) for name in SCENARIOS for seconds in (0.0, 5.0, 900.0)]
DOWNTIMES.remove(("hang and go on", 900.0))


@pytest.mark.parametrize(("name", "downtime"), DOWNTIMES)
def test_a_crash_before_any_step_comes_to_the_same_end(name: str, downtime: float) -> None:
    scenario = SCENARIOS[name]
    expected = undisturbed(scenario).outcome()
    simulation = begun(scenario)
    first, tried = simulation.steps, 0
    while True:
        simulation = begun(scenario)
        simulation.crash_at = first + tried
        if not until_crash(simulation, Simulation.rest):
            break
        simulation.now += downtime
        simulation.rest()
        assert simulation.outcome() == expected, "\n".join([f"crash {tried}", *simulation.trace])
        tried += 1
    assert tried > 0


@pytest.mark.parametrize("name", ["replace", "roll back a start that fails", "replace one that holds the port"])
def test_a_second_crash_on_the_way_back_changes_nothing(name: str) -> None:
    scenario = SCENARIOS[name]
    expected, first = undisturbed(scenario).outcome(), begun(scenario).steps
    for once in range(12):
        for again in range(12):
            simulation = begun(scenario)
            simulation.crash_at = first + once
            if until_crash(simulation, Simulation.rest):
                simulation.crash_at = simulation.steps + again
                until_crash(simulation, Simulation.rest)
            simulation.rest()
            assert simulation.outcome() == expected, "\n".join(simulation.trace)
