"""Which tools can be run in a sandbox: those that its skill names, with the implementation that somebody has given."""

from __future__ import annotations

from collections.abc import Mapping

from controller.embedded.kept import Kept
from controller.model.errors import ToolNotAvailableError
from controller.skill.definition import SkillDefinition, Tool
from controller.tools.registry import ToolRegistry


class Toolbox:
    """The registered tools, and those that skills brought along in this process."""

    def __init__(self, registry: ToolRegistry) -> None:
        self._registry = registry
        self._skills: dict[str, SkillDefinition] = {}

    def bring(self, id: str, skill: SkillDefinition) -> None:
        """A sandbox was built from this skill: its tools that have an implementation run with it."""
        self._skills[id] = skill

    def drop(self, id: str) -> None:
        """The sandbox is gone."""
        self._skills.pop(id, None)

    def of(self, kept: Kept) -> Mapping[str, Tool | None]:
        """The tools of a sandbox by name, all built-in ones where its skill names none; None: nobody has given it."""
        names = [note.name for note in kept.skill.tools] or ToolRegistry.with_builtin().names()
        return {name: self._runnable(kept, name) for name in names}

    def get(self, kept: Kept, name: str) -> Tool:
        """One of them. Raises ToolNotAvailableError."""
        found = self.of(kept)
        tool = found.get(name)
        if tool is not None:
            return tool
        names = ", ".join(each for each, known in found.items() if known is not None) or "none"
        why = "nobody has registered it" if name in found else f"the skill {kept.skill.name} does not name it"
        raise ToolNotAvailableError(f"tool {name} is not available in sandbox {kept.id}: {why}; there are {names}")

    def _runnable(self, kept: Kept, name: str) -> Tool | None:
        skill = self._skills.get(kept.id)
        own = skill.get_tool_by_name(name) if skill is not None else None
        if own is not None and ToolRegistry([own]).is_available(name):
            return own
        return self._registry.get(name) if self._registry.is_available(name) else None
