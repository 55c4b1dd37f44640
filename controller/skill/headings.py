"""What the headings of a skill file say: the whole of the Headings format, and the body below front matter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from controller.skill.definition import Tool
from controller.skill.findings import Findings
from controller.skill.markdown import Section, first_paragraph, is_item, items, plain, sections, with_subsections
from controller.skill.requirements import Requirements, is_bare_python, python_version, split_item
from controller.skill.text import Text
from controller.skill.tool_names import listed_tools, mentioned_tools

NO_DESCRIPTION: Final = "No description provided"
_KNOWN: Final = ("description", "system prompt", "instructions", "tools", "requirements", "environment")
_VERSION: Final = re.compile(r"[ \t>*_+-]{0,20}version[*_ \t]{0,9}[:=][*_ \t]{0,9}v?(\d[\w.+-]{0,50})", re.IGNORECASE)


class Headings:
    """A Markdown text by its headings. `first` is the number of its first line in the file."""

    def __init__(self, text: Text, lines: Sequence[str], first: int = 1) -> None:
        self._text, self._lines = text, lines
        self._sections = sections(lines, first)

    def name(self) -> str:
        """The first heading, unless that one opens a known section or is empty; else empty."""
        first = next((section.title for section in self._sections if section.level), "")
        return "" if first.lower() in _KNOWN else plain(first)

    def description(self) -> str:
        """The section of that name, else the first paragraph."""
        section = self._section("description")
        return plain(section.text if section and section.text else first_paragraph(self._sections))

    def system_prompt(self) -> str:
        """The section of that name, or the instructions; else empty."""
        found = (self._section(name) for name in ("system prompt", "instructions"))
        return next((section.text for section in found if section and section.text), "")

    def version(self) -> str:
        """What a line `Version: 1.2` says; else empty."""
        lines = (line.text for section in self._sections for line in section.lines if not line.code)
        return next((found[1] for line in lines if (found := _VERSION.match(line))), "")

    def listed_tools(self, findings: Findings) -> list[Tool]:
        """The tools that a section lists."""
        section = self._section("tools")
        return listed_tools(self._text, section, findings) if section else []

    def mentioned_tools(self) -> list[Tool]:
        """The known tools that the text mentions anywhere."""
        return mentioned_tools(self._lines)

    def requirements(self, into: Requirements, findings: Findings) -> None:
        """Add what the section of that name, or the environment's, lists."""
        section = self._section("requirements") or self._section("environment")
        if section is None:
            return
        for line in section.lines:
            version = "" if line.code or is_item(line.text) else python_version(plain(line.text), anywhere=True)
            if version:
                into.name_python(version, f"{self._text.file}:{line.number}")
        for item in items(section):
            written = plain(item.text)
            version = python_version(written)
            if is_bare_python(written):
                continue
            if version:
                into.name_python(version, f"{self._text.file}:{item.number}")
                continue
            for requirement in split_item(written):
                into.add(requirement, self._text, item.number, findings)

    def _section(self, name: str) -> Section | None:
        for index, section in enumerate(self._sections):
            if section.level and section.title.lower().rstrip(":") == name:
                return with_subsections(self._sections, index)
        return None


def name_of_file(stem: str) -> str:
    """A file's or folder's name as words: `my_skill` is `My Skill`."""
    return re.sub(r"[_\W]+", " ", stem).strip().title() or "Skill"
