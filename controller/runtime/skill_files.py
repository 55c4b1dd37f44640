"""The last look at the kept files of a skill, before a sandbox is given them."""

from __future__ import annotations

from pathlib import Path

from controller.model.errors import RuntimeFailure


def require_skill_files(folder: str) -> None:
    """Raises RuntimeFailure where they are gone."""
    if not Path(folder).is_dir():
        raise RuntimeFailure(f"the skill's files are gone ({folder}): save its SKILL.md, and they are kept anew")
