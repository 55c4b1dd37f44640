"""Whose skills are still needed: of those wanted, remembered or seen in an instance, the files are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.runtime.protocol import RuntimeReader, SkillFiles

from .outlook import concerned_runtimes
from .world import Entry, World


class SkillUsage:
    """Has the files go that nothing needs. What cannot be seen now may need any of them."""

    def __init__(self, world: World, runtimes: Mapping[str, RuntimeReader], files: SkillFiles) -> None:
        self._world = world
        self._runtimes = runtimes
        self._files = files

    def tidy(self) -> None:
        """Look at everything once. Raises StateError."""
        if self._world.told.is_set() and not self._is_something_unseen():
            self._files.collect(frozenset(self._used()))

    def _is_something_unseen(self) -> bool:
        concerned = frozenset[str]().union(*(concerned_runtimes(self._world, key) for key in self._world.all_keys()))
        runtimes = (self._runtimes.get(name) for name in concerned)
        return any(runtime is None or not runtime.capabilities().available for runtime in runtimes)

    def _used(self) -> Iterator[str]:
        documents = self._world.snapshot().documents.values()
        yield from (document.skill.digest for document in documents if document.skill is not None)
        for entry in self._world.entries().values():
            yield from _used_by(entry)


def _used_by(entry: Entry) -> Iterator[str]:
    if entry.record.skill is not None:
        yield entry.record.skill.digest
    for seen in entry.observed:
        skill = seen.template.get("skill")
        if skill:
            yield str(skill["digest"])
