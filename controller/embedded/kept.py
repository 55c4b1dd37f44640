"""What is kept of one sandbox of the Python API, from one process to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.model.identity import Key, sandbox_key
from controller.model.record import Record


@dataclass(frozen=True, slots=True)
class ToolNote:
    """A tool that the skill names, without its implementation."""

    name: str
    tool_type: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SkillNote:
    """What a sandbox's skill said when it was built."""

    name: str
    description: str
    tools: tuple[ToolNote, ...] = ()
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """One sandbox. `config` are the values of its ContainerConfig, `isolation` what it is to be; `record` is the
    planner's, None until it was first planned."""

    id: str
    skill: SkillNote
    isolation: str
    config: Mapping[str, Any]
    record: Record | None = None

    @property
    def key(self) -> Key:
        """Its key: its id is its name."""
        return sandbox_key("default", self.id)
