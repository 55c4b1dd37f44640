"""Manifests and rules for the tests of the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from controller.model.identity import Key
from controller.model.skill import SkillFacts
from controller.source.documents import Rules
from controller.source.host_paths import HostPathRules
from controller.source.kinds import default_kinds


def admit_all(_: dict[str, Any], __: SkillFacts | None) -> tuple[()]:
    """An admission that refuses nothing."""
    return ()


def rules(root: Path) -> Rules:
    """Rules of a folder with nothing allowed outside it."""
    return Rules(default_kinds(), admit_all, HostPathRules(root))


def manifest(name: str, spec: str = "{}") -> str:
    """A manifest's text."""
    return f"apiVersion: sandkeeper.dev/v1alpha1\nkind: Sandbox\nmetadata:\n  name: {name}\nspec: {spec}\n"


def key(name: str) -> Key:
    """The key of a sandbox in the default namespace."""
    return Key("Sandbox", "default", name)
