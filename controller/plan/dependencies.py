"""dependsOn over all sandboxes: who waits for whom, who goes first on removal, and cycles spelt out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
    """The cycle that this sandbox is part of, as `default/a → default/b → default/a`, or the empty string."""
    path = _path_back(key, key, declared, [key], set())
    return " → ".join(f"{step.namespace}/{step.name}" for step in path)


def _path_back(goal: Key, at: Key, declared: Mapping[Key, Desired], path: list[Key], visited: set[Key]) -> list[Key]:
    wanted = declared.get(at)
    for dependency in wanted.spec.lifecycle.depends_on if wanted else ():
        if dependency == goal:
            return [*path, goal]
        if dependency in visited:
            continue
        visited.add(dependency)
        if found := _path_back(goal, dependency, declared, [*path, dependency], visited):
            return found
    return []
