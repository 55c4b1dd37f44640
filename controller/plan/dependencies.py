"""dependsOn over all sandboxes: who waits for whom, who goes first on removal, and cycles spelt out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter

from controller.model.identity import Key
from controller.model.spec import Desired


def waiting_for(desired: Desired, declared: Mapping[Key, Desired], ready: Callable[[Key], bool]) -> tuple[str, ...]:
    """The dependencies that are not Ready, as `namespace/name`; one that no file declares is named as such."""
    waiting = []
    for key in desired.spec.lifecycle.depends_on:
        if key not in declared:
            waiting.append(f"{key.namespace}/{key.name} (no manifest declares it)")
        elif not ready(key):
            waiting.append(f"{key.namespace}/{key.name}")
    return tuple(waiting)


def dependents_of(key: Key, desired: Mapping[Key, Desired]) -> tuple[Key, ...]:
    """The sandboxes whose dependsOn names this one."""
    return tuple(other for other, wanted in desired.items() if key in wanted.spec.lifecycle.depends_on)


def cycle_of(key: Key, declared: Mapping[Key, Desired]) -> str:
    """The shortest cycle that this sandbox is part of, as `default/a → default/b → default/a`, or the empty string."""
    came_from: dict[Key, Key] = {}
    found = deque([key])
    while found:
        at = found.popleft()
        wanted = declared.get(at)
        for dependency in wanted.spec.lifecycle.depends_on if wanted else ():
            if dependency == key:
                return " → ".join(f"{step.namespace}/{step.name}" for step in (*_path(key, at, came_from), key))
            if dependency not in came_from:
                came_from[dependency] = at
                found.append(dependency)
    return ""


def entangled(declared: Mapping[Key, Desired]) -> frozenset[Key]:
    """The sandboxes that no order lets start: those on a cycle, and those that wait for one of these."""
    sorter = TopologicalSorter(
        {
            key: [dependency for dependency in wanted.spec.lifecycle.depends_on if dependency in declared]
            for key, wanted in declared.items()
        }
    )
    with suppress(CycleError):
        sorter.prepare()
    free: set[Key] = set()
    while following := sorter.get_ready():
        free.update(following)
        sorter.done(*following)
    return frozenset(declared.keys() - free)


def _path(start: Key, end: Key, came_from: Mapping[Key, Key]) -> list[Key]:
    steps = [end]
    while steps[-1] != start:
        steps.append(came_from[steps[-1]])
    return steps[::-1]


def departing_dependents(key: Key, departing: Mapping[Key, Sequence[Key]]) -> tuple[Key, ...]:
    """Those of the departing sandboxes that go before this one: they depend on it, and it does not depend on them.

    `departing` holds each with its dependencies. In a cycle nobody waits: any order breaks it.
    """
    needed, frontier = {key}, [key]
    while frontier:
        for dependency in departing.get(frontier.pop(), ()):
            if dependency not in needed:
                needed.add(dependency)
                frontier.append(dependency)
    return tuple(other for other, needs in departing.items() if key in needs and other not in needed)
