"""The plane behind the command line's daemon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.model.identity import Key
from tests.report.plane import FakePlane


@dataclass
class Plane(FakePlane):
    """Answers a restore with what the test says."""

    restored: Mapping[str, Any] = field(default_factory=dict)

    def restore(self, key: Key) -> Mapping[str, Any]:
        super().restore(key)
        return self.restored
