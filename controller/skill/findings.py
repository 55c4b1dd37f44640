"""What is found wrong with a skill, and which of it refuses the skill."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from controller.model.manifest import Fault

MOST_FAULTS: Final = 1000
"""Faults that are told of one skill; the rest is counted."""


class Validation(StrEnum):
    """How much is asked of a skill: what the Agent Skills specification says, or only that it can be read."""

    STRICT = "strict"
    LENIENT = "lenient"


@dataclass(slots=True)
class Findings:
    """What was found so far.

    `refusals` refuse the skill whatever is asked of it, `breaches` of the specification only under strict validation,
    `warnings` never.
    """

    refusals: list[Fault] = field(default_factory=list)
    breaches: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)

    def faults(self, validation: Validation) -> list[Fault]:
        """All of it by file and place; what does not refuse the skill is a warning."""
        refused = [*self.refusals, *(self.breaches if validation is Validation.STRICT else ())]
        told = [*self.warnings, *(self.breaches if validation is Validation.LENIENT else ())]
        found = [
            *(replace(fault, warning=False) for fault in refused),
            *(replace(fault, warning=True) for fault in told),
        ]
        ordered = sorted(found, key=lambda fault: (fault.file, fault.line, fault.column))
        if len(ordered) <= MOST_FAULTS:
            return ordered
        last = ordered[MOST_FAULTS]
        rest = f"and {len(ordered) - MOST_FAULTS} more faults from here on"
        # What refuses the skill may be among the rest.
        return [*ordered[:MOST_FAULTS], replace(last, message=rest, hint="", warning=not refused)]
