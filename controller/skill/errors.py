"""How a skill is refused: with every fault in its place."""

from __future__ import annotations

from collections.abc import Sequence

from controller.model.errors import SandkeeperError
from controller.model.manifest import Fault
from controller.model.printable import printable

_SHOWN = 20


class SkillError(SandkeeperError, ValueError):
    """A skill that cannot be taken. `faults` are its faults in the order of their places; the text has one a line."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        lines = [printable(fault) for fault in self.faults[:_SHOWN]]
        if len(self.faults) > _SHOWN:
            lines.append(f"and {len(self.faults) - _SHOWN} more faults")
        super().__init__("\n".join(lines))


class SkillNotFoundError(SkillError, FileNotFoundError):
    """There is no skill at that path."""
