"""The skills that tests read."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
DATA: Final = ROOT / "tests" / "data" / "skills"
HEADINGS: Final = DATA / "headings"
AGENT: Final = DATA / "agent"
BROKEN: Final = DATA / "broken"
EXAMPLE: Final = ROOT / "examples" / "simple_skill.md"


def skill_file(folder: Path, text: str, name: str = "SKILL.md") -> Path:
    """A skill file with that text in that folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
